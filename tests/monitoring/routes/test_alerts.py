"""From a check to the person on call: real collectors, a real Prometheus with the project's rules, a real Alertmanager with its routes."""

import datetime as dt
import subprocess
import time
from contextlib import ExitStack

import pytest

from components.errors import StoreFailed
from monitoring import alerts
from monitoring.judged import CauseName, Verdict
from tests.conftest import PROJECT, system_program
from tests.monitoring.routes import programs
from tests.monitoring.routes.programs import routes, tell, until
from tests.monitoring.verdicts import cause, drifting, judged, quiet
from tests.release.webhook import webhook


@pytest.mark.parametrize(
    "command",
    [
        ["promtool", "check", "rules", "monitoring/rules/drift.yml"],
        ["promtool", "test", "rules", "monitoring/rules/drift_test.yml"],
        ["amtool", "check-config", "monitoring/alertmanager/alertmanager.yml"],
    ],
    ids=" ".join,
)
def test_rules_and_routes_are_accepted_by_their_own_tools(command):
    done = subprocess.run([system_program(command[0]), *command[1:]], cwd=PROJECT, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(params=["textfile", "pushgateway"])
def watched(request, tmp_path):
    """A config that leads to a Prometheus with an Alertmanager behind it, and what the receivers are posted."""
    with ExitStack() as stack:
        hook, got = stack.enter_context(webhook())
        alerts_to = stack.enter_context(programs.alertmanager(tmp_path / "alertmanager", hook))
        if request.param == "textfile":
            cfg = routes(textfile=str(tmp_path / "metrics"))
            scraped = stack.enter_context(programs.collector(tmp_path / "collector", tmp_path / "metrics"))
        else:
            scraped = stack.enter_context(programs.pushgateway(tmp_path / "pushgateway"))
            cfg = routes(pushgateway=scraped)
        tell(quiet(), cfg)
        stack.enter_context(programs.prometheus(tmp_path / "prometheus", scraped, alerts_to))
        yield cfg, got


def posted(got, name, status="firing"):
    return [one for one in got if one["groupLabels"]["alertname"] == name and one["status"] == status]


def test_a_faulty_day_calls_once_with_cause_segment_and_runbook_and_is_taken_back(watched):
    cfg, got = watched
    tell(drifting(CauseName.DARKER_PHOTOS, day=1), cfg)
    (call,) = until(lambda: posted(got, "VitrineDrift"), lambda: str(got))
    assert call["receiver"] == "on-call"
    assert call["groupLabels"]["cause"] == "darker_photos"
    (alert,) = call["alerts"]
    assert alert["annotations"]["summary"] == "Drift: darker photos in app_version=3.1.0"
    assert alert["annotations"]["page"] == "reports/drift/2026-03-05.html"
    assert alert["annotations"]["runbook_url"] == "https://shop.example/runbook.md#darker-photos"
    assert "brightness 0.52 -> 0.44" in alert["annotations"]["description"]

    for day in (2, 3):  # the drift lasts, with another segment ranked first: the same alert, and nobody is called again
        tell(judged(Verdict.DRIFT, cause(segment=f"platform=p{day}"), day=day), cfg)
        time.sleep(2.5)
    assert len(posted(got, "VitrineDrift")) == 1

    tell(quiet(day=4), cfg)
    (over,) = until(lambda: posted(got, "VitrineDrift", "resolved"), lambda: str(got))
    assert over["groupLabels"]["cause"] == "darker_photos"


@pytest.mark.parametrize("watched", ["textfile"], indirect=True)
def test_two_causes_are_two_calls_and_a_snoozed_one_is_none(watched):
    cfg, got = watched
    later = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    causes = cause(CauseName.NEW_KIND), cause(CauseName.STALE_INDEX), cause(CauseName.CLIENT_MIX, snoozed_until=later, snooze_reason="x")
    tell(judged(Verdict.DRIFT, *causes), cfg)
    until(lambda: len(posted(got, "VitrineDrift")) == 2, lambda: str(got))
    time.sleep(2)
    assert sorted(one["groupLabels"]["cause"] for one in posted(got, "VitrineDrift")) == ["new_kind", "stale_index"]


@pytest.mark.parametrize("watched", ["textfile"], indirect=True)
def test_a_broken_input_inhibits_what_was_found_on_other_windows(watched):
    cfg, got = watched
    tell(judged(Verdict.BROKEN, problems=("3 files of predictions cannot be read",), day=1), cfg)
    (call,) = until(lambda: posted(got, "VitrineDriftBrokenInput"), lambda: str(got))
    assert "3 files of predictions cannot be read" in call["alerts"][0]["annotations"]["description"]
    assert call["alerts"][0]["annotations"]["runbook_url"].endswith("#broken-input")
    week = drifting()
    tell(judged(Verdict.DRIFT, *week.causes, span=programs.week()), cfg)  # a week's check stands beside the day's
    time.sleep(3)
    assert posted(got, "VitrineDrift") == []


@pytest.fixture
def manager(tmp_path):
    with webhook() as (hook, got), programs.alertmanager(tmp_path / "alertmanager", hook) as url:
        yield routes(alertmanager=url), got


def rehearsal(cause_name):
    return alerts.rehearsed(cause_name, "docs/runbook.md", "ada@laptop", dt.datetime.now(dt.UTC))


def test_a_rehearsal_reaches_the_receivers_of_the_real_alert_and_says_that_it_is_one(manager):
    cfg, got = manager
    held = alerts.fire(rehearsal(CauseName.SELLER_FLOOD), cfg)
    assert held == alerts.Held(("on-call",), "active", 0, 0)
    assert held.reaches_people
    (call,) = until(lambda: got, lambda: "nothing came")
    assert call["groupLabels"] == {"alertname": "VitrineDrift", "cause": "seller_flood", "rehearsal": "true"}
    assert call["commonAnnotations"]["summary"] == "[REHEARSAL, nothing is wrong] Drift: seller flood"
    assert "ada@laptop" in call["commonAnnotations"]["description"]
    assert call["commonAnnotations"]["runbook_url"] == "docs/runbook.md#seller-flood"


def test_a_rehearsed_broken_input_hides_no_real_drift(manager):
    cfg, got = manager
    alerts.fire(rehearsal(CauseName.BROKEN_INPUT), cfg)
    real = rehearsal(CauseName.NEW_KIND)
    del real["labels"]["rehearsal"]
    programs.post_alert(cfg.alertmanager, real)
    until(lambda: posted(got, "VitrineDrift"), lambda: str(got))


def test_a_rehearsal_that_reaches_nobody_says_so(manager):
    cfg, _ = manager
    programs.silence(cfg.alertmanager, "rehearsal", "true")
    held = alerts.fire(rehearsal(CauseName.NEW_KIND), cfg)
    assert (held.state, held.num_silences, held.reaches_people) == ("suppressed", 1, False)


def test_an_alertmanager_that_is_away_is_told_with_the_knob_that_names_it():
    with pytest.raises(StoreFailed, match=r"did not answer as it should.*monitor\.routes\.alertmanager"):
        alerts.fire(rehearsal(CauseName.NEW_KIND), routes(timeout_s=1.0))
