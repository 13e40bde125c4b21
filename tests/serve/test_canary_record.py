"""Following the channel record: what a gateway does while it cannot read it, across restarts, and when a person rolls back."""

import json
import logging
import os
import shutil
import threading
import time

import pytest

from components.objects import FolderStore
from components.release.channel import promoted, withdrawn
from components.release.decisions import DecisionLog
from components.release.record import CHANNEL, decode, encode
from tests.serve.canary_shop import Place, canary, fast, headers, heeds, twin, until
from tests.serve.gateway import metric, running
from tests.serve.test_canary import USERS, canary_users
from tests.serve.test_hot_reload import asked_without_pause, with_other_weights


@pytest.fixture
def shop(finished, tmp_path):
    with canary(finished, tmp_path) as shop:
        yield shop


@pytest.fixture
def climbing(shop):
    """A candidate has half of the users."""
    shop.place.propose(shop.candidate)
    shop.place.climb(50)
    shop.heeds()
    return shop


def damage(shop, data: bytes) -> bytes:
    """What stood in the record, after the data stands there."""
    path = shop.place.folder / CHANNEL
    before = path.read_bytes()
    path.write_bytes(data)
    return before


UNREADABLE = {
    "half of it": lambda data: data[: len(data) // 2],
    "nothing": lambda data: b"",
    "a lane at 150 %": lambda data: data.replace(b'"weight_percent": 50', b'"weight_percent": 150'),
    "a later format": lambda data: data.replace(b'"format": 1', b'"format": 2'),
    "an older record": lambda data: data.replace(b'"revision": 3', b'"revision": 2'),
    "no stable release": lambda data: json.dumps(json.loads(data) | {"stable": None, "candidate": None, "previous": []}).encode(),
}


def test_a_record_that_cannot_be_used_leaves_everybody_where_they_are_and_is_told_of(climbing, caplog):
    caplog.set_level(logging.INFO)
    users = canary_users(climbing, USERS[:60])
    for how, spoil in UNREADABLE.items():
        caplog.clear()
        before = damage(climbing, spoil((climbing.place.folder / CHANNEL).read_bytes()))
        said = until(lambda: (said := climbing.channel())["problem"] and said)
        assert (said["revision"], said["here"]["candidate"]) == (3, climbing.candidate), how
        assert canary_users(climbing, USERS[:60]) == users, how
        assert metric(climbing.client, "vitrine_channel_readable") == 0, how
        age_s = climbing.channel()["age_s"]
        until(lambda: metric(climbing.client, "vitrine_channel_age_seconds") > age_s + 0.2)  # noqa: B023  # called at once
        damage(climbing, before)
        until(lambda: climbing.channel()["problem"] is None)
        assert metric(climbing.client, "vitrine_channel_readable") == 1, how
        said = [record.message for record in caplog.records if "channel record can" in record.message]
        assert [("cannot be read" in line, "read again" in line) for line in said] == [(True, False), (False, True)], how


def test_a_record_that_is_gone_is_no_record_that_names_nothing(climbing):
    users = canary_users(climbing, USERS[:60])
    os.rename(climbing.place.folder / CHANNEL, climbing.place.folder / "away")
    assert "record is gone" in until(lambda: climbing.channel()["problem"])
    assert canary_users(climbing, USERS[:60]) == users
    rolled_back = climbing.client.post("/v1/channel/rollback", json={"reason": "test"})
    assert (rolled_back.status_code, rolled_back.json()["written"]) == (202, False)
    os.rename(climbing.place.folder / "away", climbing.place.folder / CHANNEL)
    until(lambda: climbing.channel()["problem"] is None)
    until(lambda: climbing.place.record.candidate is None)


def hang(place) -> None:
    """Has every read of the record wait for somebody who never writes, as a bucket that hangs does."""
    os.rename(place.folder / CHANNEL, place.folder / "away")
    os.mkfifo(place.folder / CHANNEL)


def test_a_registry_that_hangs_holds_up_no_answer_and_is_told_of(climbing):
    users = canary_users(climbing, USERS[:60])
    num_threads = threading.active_count()
    hang(climbing.place)
    assert "has not answered" in until(lambda: climbing.channel()["problem"])
    assert canary_users(climbing, USERS[:60]) == users
    time.sleep(2.5)  # several looks
    assert threading.active_count() <= num_threads + 3, "one call waits, not one more each second"
    rolled_back = climbing.client.post("/v1/channel/rollback", json={"reason": "test"})
    assert (rolled_back.status_code, rolled_back.json()["written"]) == (202, False)
    assert canary_users(climbing, USERS[:60]) == set()


def test_with_the_registry_gone_at_the_start_the_last_good_record_goes_on(finished, tmp_path):
    with canary(finished, tmp_path) as shop:
        shop.place.propose(shop.candidate)
        shop.place.climb(50)
        shop.heeds()
        users = canary_users(shop, USERS[:60])
    os.rename(shop.place.folder, tmp_path / "away")
    (tmp_path / "registry").write_text("a file, where a folder was")
    strict = {"index": {"gate": {"max_p95_ms": 1e-6}}}  # what stood in service is not asked again: nobody is to leave for a slow moment
    with running(finished, tmp_path / "gateway", fast(strict), registry=shop.place.folder) as live:
        said = live.client.get("/v1/channel").json()
        assert (said["revision"], said["here"]["candidate"]) == (3, shop.candidate)
        assert said["problem"]
        asked = {user: live.client.get("/v1/similar", params={"text": "mug"}, headers=headers(user)).json() for user in USERS[:60]}
        assert {user for user, answer in asked.items() if answer["release_id"] == shop.candidate} == users
        (tmp_path / "registry").unlink()
        os.rename(tmp_path / "away", shop.place.folder)
        until(lambda: live.client.get("/v1/channel").json()["problem"] is None)


def test_a_gateway_that_knows_no_record_and_cannot_read_one_serves_no_bundle_that_is_only_at_hand(finished, tmp_path):
    place = Place(tmp_path / "registry")
    stable = place.publish(twin(finished / "bundle", tmp_path / "stable"))
    (place.folder / CHANNEL).write_text("{")
    with running(finished, tmp_path / "gateway", fast(), registry=place.folder, ready=False) as live:
        until(lambda: "channel record" in live.client.get("/health/ready").text)
        refused = live.client.get("/health/ready")
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert live.client.get("/health/live").status_code == 200
        (place.folder / CHANNEL).unlink()
        place.begin(stable)
        until(lambda: live.client.get("/health/ready").status_code == 200)
        assert live.gateway.router.active == stable


def test_a_release_comes_from_the_registry_and_an_altered_one_never_answers(shop, finished, tmp_path):
    assert (shop.live.gateway.router.folder / shop.stable / "manifest.json").exists()
    altered = shop.place.publish(twin(finished / "bundle", tmp_path / "altered", "altered"))
    path = shop.place.folder / "releases" / altered / "calibrator.json"
    path.write_bytes(path.read_bytes() + b" ")
    shop.place.propose(altered)
    shop.place.climb(100)
    why = until(lambda: (why := shop.channel()["here"]["why_not"].get(altered, "")) and "altered" in why and why)
    assert "calibrator.json" in why
    assert shop.similar("user").json()["release_id"] == shop.stable
    path.write_bytes(path.read_bytes()[:-1])
    shop.heeds()  # it is tried again
    assert shop.similar("user").json()["release_id"] == altered


def releases_of(answers):
    return {release for _, release, *_ in list(answers)}


def test_a_candidate_becomes_stable_under_load_without_a_failed_request_and_nobody_leaves_it(shop):
    shop.place.propose(shop.candidate)
    shop.place.climb(100)
    shop.heeds()
    seen, stop = [], threading.Event()

    def ask():
        number = 0
        while not stop.is_set():
            number += 1
            seen.append(shop.live.client.get("/v1/similar", params={"text": "mug"}, headers=headers(f"u-{number}")).json()["release_id"])

    with asked_without_pause(shop.live) as answers:
        user = threading.Thread(target=ask)
        user.start()
        until(lambda: seen and shop.stable in releases_of(answers))
        shop.place.change(promoted)
        until(lambda: shop.live.gateway.router.active == shop.candidate)
        until(lambda: shop.candidate in releases_of(answers))
        stop.set()
        user.join(30)
    assert set(seen) == {shop.candidate}
    assert {status for status, *_ in answers} == {200}
    assert releases_of(answers) == {shop.stable, shop.candidate}
    said = shop.heeds()
    assert (said["stable"], said["candidate"], said["previous"]) == (shop.candidate, None, [shop.stable])


def test_a_candidate_that_was_withdrawn_is_taken_out_of_service_later(climbing):
    climbing.place.change(withdrawn)
    climbing.heeds()
    assert canary_users(climbing, USERS[:20]) == set()
    router = climbing.live.gateway.router
    until(lambda: climbing.candidate not in router.served)
    assert [row["release_id"] for row in climbing.client.get("/v1/releases").json()["releases"]] == [climbing.stable]


def test_a_candidate_that_was_refused_here_leaves_nothing_behind_once_it_is_withdrawn(shop, finished, tmp_path):
    wrong = with_other_weights(finished / "bundle", tmp_path / "wrong")
    bad = shop.place.publish(twin(wrong, tmp_path / "bad"))
    shop.place.propose(bad)
    until(lambda: "golden" in shop.channel()["here"]["why_not"].get(bad, ""))
    tried = shop.live.gateway.canary.admission.refused[bad].times
    until(lambda: shop.live.gateway.canary.admission.refused[bad].times > tried)  # and is judged as the first time
    assert shop.channel()["here"]["candidate"] is None
    shop.place.change(withdrawn)
    until(lambda: [row["release_id"] for row in shop.client.get("/v1/releases").json()["releases"]] == [shop.stable])
    until(lambda: bad not in shop.live.gateway.canary.following.kept.taken)


def test_a_rollback_sends_the_candidate_back_at_once_and_says_so_in_the_record_and_the_decision_log(climbing):
    done = climbing.client.post("/v1/channel/rollback", json={"reason": "too many ladders"})
    assert done.status_code == 200
    assert done.json() == {"release_id": climbing.candidate, "stable": climbing.stable, "revision": 4, "written": True, "problem": None}
    assert canary_users(climbing, USERS[:60]) == set()
    assert (climbing.place.record.revision, climbing.place.record.candidate) == (4, None)
    (entry,) = DecisionLog(FolderStore(climbing.place.folder), climbing.candidate).read()
    assert (entry.kind, entry.reason, entry.actor) == ("rollback", "too many ladders", "somebody at a gateway without keys")


def test_a_rollback_without_a_candidate_goes_back_to_the_stable_release_before(climbing):
    climbing.place.climb(100)
    climbing.place.change(promoted)
    climbing.heeds()
    done = climbing.client.post("/v1/channel/rollback", json={"reason": "test"}).json()
    assert (done["release_id"], done["stable"], done["written"]) == (climbing.candidate, climbing.stable, True)
    assert climbing.similar("user").json()["release_id"] == climbing.stable
    assert climbing.place.record.stable == climbing.stable
    until(lambda: climbing.live.gateway.router.active == climbing.stable)
    refused = climbing.client.post("/v1/channel/rollback", json={"reason": "test"})
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_roll_back")


def test_a_rollback_of_a_named_release_spares_every_other(climbing):
    refused = climbing.client.post("/v1/channel/rollback", json={"reason": "test", "release_id": climbing.stable})
    assert (refused.status_code, refused.json()["code"]) == (409, "channel_conflict")
    done = climbing.client.post("/v1/channel/rollback", json={"reason": "test", "release_id": climbing.candidate})
    assert done.json()["stable"] == climbing.stable


def test_a_rollback_asks_for_a_reason(climbing):
    for body in ({}, {"reason": ""}, {"reason": "x" * 2000}):
        assert climbing.client.post("/v1/channel/rollback", json=body).status_code == 422
    assert canary_users(climbing, USERS[:60])


def test_a_rollback_that_the_registry_does_not_take_holds_here_across_a_restart_until_it_does(finished, tmp_path):
    with canary(finished, tmp_path) as shop:
        shop.place.propose(shop.candidate)
        shop.place.climb(100)
        shop.heeds()
        before = damage(shop, b"{")
        done = shop.client.post("/v1/channel/rollback", json={"reason": "it is bad"})
        assert (done.status_code, done.json()["written"], done.json()["stable"]) == (202, False, shop.stable)
        assert done.json()["problem"]
        assert canary_users(shop, USERS[:20]) == set()
        assert [row["reason"] for row in shop.channel()["rollbacks_unwritten"]] == ["it is bad"]
        assert metric(shop.client, "vitrine_rollbacks_unwritten") == 1
    with running(finished, tmp_path / "gateway", fast(), registry=shop.place.folder) as live:
        for user in USERS[:20]:
            assert live.client.get("/v1/similar", params={"text": "mug"}, headers=headers(user)).json()["release_id"] == shop.stable
        damage(shop, before)
        until(lambda: not live.client.get("/v1/channel").json()["rollbacks_unwritten"])
        assert shop.place.record.candidate is None
        assert heeds(live.client, shop.place)["revision"] == 4
        (entry,) = DecisionLog(FolderStore(shop.place.folder), shop.candidate).read()
        assert (entry.kind, entry.reason) == ("rollback", "it is bad")


def test_a_release_that_became_stable_while_its_rollback_waited_is_sent_back_all_the_same(finished, tmp_path):
    with canary(finished, tmp_path) as shop:
        shop.place.propose(shop.candidate)
        shop.place.climb(100)
        shop.heeds()
        before = damage(shop, b"{")
        assert shop.client.post("/v1/channel/rollback", json={"reason": "it is bad"}).status_code == 202
        damage(shop, encode(promoted(decode(before))))
        until(lambda: not shop.channel()["rollbacks_unwritten"])
        assert shop.place.record.stable == shop.stable
        assert shop.heeds()["stable"] == shop.stable
        assert shop.similar("user").json()["release_id"] == shop.stable


def test_another_registry_is_followed_from_its_own_beginning(finished, tmp_path):
    with canary(finished, tmp_path) as shop:
        shop.place.propose(shop.candidate)
        shop.heeds()
    other = Place(tmp_path / "other-registry")
    other.begin(other.publish(tmp_path / "stable"))
    with running(finished, tmp_path / "gateway", fast(), registry=other.folder) as live:
        said = heeds(live.client, other)
        assert (said["revision"], said["candidate"], said["problem"]) == (1, None, None)


def test_what_is_kept_of_the_record_is_refused_where_it_is_damaged(finished, tmp_path):
    with canary(finished, tmp_path) as shop:
        shop.heeds()
    path = tmp_path / "gateway/channel.json"
    path.write_text(path.read_text()[:-20])
    with running(finished, tmp_path / "gateway", fast(), registry=shop.place.folder, ready=False) as live:
        assert "channel.json is damaged" in str(until(lambda: live.failed)[0])


def test_a_bundle_at_hand_does_not_answer_in_the_place_of_the_stable_release(finished, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with canary(finished, tmp_path) as shop:
        assert shop.live.gateway.router.active == shop.stable
    assert any("so the bundle" in record.message for record in caplog.records)
    shutil.rmtree(shop.place.folder)
    with running(finished, tmp_path / "gateway", fast(), registry=shop.place.folder) as live:
        assert live.gateway.router.active == shop.stable
        assert "gone" in live.client.get("/v1/channel").json()["problem"]
