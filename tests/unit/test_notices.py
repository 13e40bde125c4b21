"""Who is told of what happens to a release, and that nobody who cannot be told stops anything."""

import datetime as dt

import pytest

from components.errors import BadParams
from components.release.notices import WEBHOOK, Notice, senders, tell
from tests.release.webhook import webhook

NOTICE = Notice(
    event="return",
    release_id="b" * 64,
    group="app",
    platforms=("ios", "android"),
    weight_percent=0,
    reason="tap_rate is lower",
    actor="controller",
    at=dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
    revision=7,
)


def test_the_webhook_of_the_environment_is_sent_the_decision_as_json():
    with webhook() as (url, got):
        assert tell(NOTICE, senders(5.0, {WEBHOOK: url})) == 1
    assert got == [
        {
            "event": "return",
            "release_id": "b" * 64,
            "group": "app",
            "platforms": ["ios", "android"],
            "weight_percent": 0,
            "reason": "tap_rate is lower",
            "actor": "controller",
            "at": "2026-01-31T00:00:00+00:00",
            "revision": 7,
            "text": "release bbbbbbbbbbbb: return app (0 %): tap_rate is lower",
        }
    ]


def test_a_sender_that_fails_is_logged_without_its_address_and_the_others_are_told(caplog):
    told = []
    with webhook(500) as (url, _):
        secret = f"{url}/secret-token"
        assert tell(NOTICE, [*senders(5.0, {WEBHOOK: secret}), *senders(0.2, {WEBHOOK: "http://127.0.0.1:9/x"}), told.append]) == 1
    assert told == [NOTICE]
    assert caplog.text.count("could not be told") == 2
    assert "secret-token" not in caplog.text


def test_without_an_address_nobody_is_told_and_a_bad_one_is_refused_without_being_shown():
    assert senders(5.0, {}) == []
    with pytest.raises(BadParams, match="VITRINE_WEBHOOK_URL") as error:
        senders(5.0, {WEBHOOK: "ftp://secret"})
    assert "secret" not in str(error.value)
