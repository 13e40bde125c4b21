"""`vitrine drift check`, step by step and as a flow."""

import datetime as dt

import pytest

from components.errors import BadParams
from components.process import alone
from flows import drift_told
from flows.drift_check import check, num_same
from flows.drift_people import since_of
from monitoring.cases import Step
from monitoring.history import History
from monitoring.judged import Verdict
from monitoring.span import Kind, day_of
from tests.flows.watched_shop import WatchedShop
from tests.monitoring.verdicts import drifting, quiet

CALIBRATING = Verdict.CALIBRATING
LATER = f"{dt.date.today() + dt.timedelta(days=9)}"


@pytest.fixture(scope="module")
def quiet_shop(tmp_path_factory, lone_environment, server):
    """A shop that was never checked."""
    return WatchedShop(tmp_path_factory.mktemp("shop"), lone_environment | {"PREFECT_API_URL": server})


@pytest.fixture(scope="module")
def dark_shop(tmp_path_factory, lone_environment, server):
    """A shop whose photos became darker yesterday, with a history."""
    shop = WatchedShop(tmp_path_factory.mktemp("dark"), lone_environment | {"PREFECT_API_URL": server}, "darker_photos")
    shop.remember_quiet_days(shop.watch(), shop.yesterday)
    return shop


class Post:
    """A listener that has whatever it was told."""

    def __init__(self):
        self.told = []

    def deaf(self):
        return ""

    def has(self, case):
        return case.event_id in self.told

    def emit(self, case):
        self.told.append(case.event_id)


def gauges(folder):
    """The metrics of a day's check, by name and labels."""
    lines = (folder / "metrics" / "vitrine_drift_day.prom").read_text().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def test_yesterday_is_checked_then_what_was_missed_and_twice_is_once(quiet_shop, client):
    from tests.flows.test_retrain import flow_run, task_runs

    check(quiet_shop.watch(), day_of(quiet_shop.first + dt.timedelta(days=2)), listener=Post())
    status, output = quiet_shop.run("check")
    assert status == 0, output
    days = [f"{quiet_shop.first + dt.timedelta(days=number)}" for number in (2, 3, 4, 5)]
    assert quiet_shop.said() == [(day, CALIBRATING) for day in days]
    assert all(day in output for day in days[1:])
    run = flow_run(client)
    assert (run.name, run.state.type.value) != ("", "FAILED")
    assert "3 windows: 3 calibrating" in run.state.message
    steps = ["read", "judge", "remember", "alert", "action", "page", "sum up"]
    assert [one.name for one in task_runs(client, run)] == ["open", *(f"{step} {day}" for day in days[1:] for step in steps)]
    assert {path.stem for path in (quiet_shop.folder / "reports/drift").glob("*.html")} == set(days)
    first = gauges_at(quiet_shop)
    assert first['vitrine_drift_verdict{kind="day",verdict="calibrating"}'] == 1
    assert first['vitrine_drift_verdict_windows{kind="day"}'] == 4

    status, output = quiet_shop.run("check")
    assert status == 0, output
    assert quiet_shop.said() == [(day, CALIBRATING) for day in days]
    again = gauges_at(quiet_shop)
    clock = 'vitrine_drift_last_check_timestamp_seconds{kind="day"}'
    assert again | {clock: 0} == first | {clock: 0}
    status, output = quiet_shop.run("history")
    assert all(day in output for day in days), output


def gauges_at(shop):
    lines = (shop.folder / ".vitrine/drift/metrics/vitrine_drift_day.prom").read_text().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def test_a_drift_is_told_with_all_that_a_person_needs_and_its_exit_status_is_asked_for(dark_shop):
    status, output = dark_shop.run("check", "--fail-on", "drift")
    assert status == 2, output
    assert "darker_photo" in output
    assert "app_version" in output
    assert "the retraining waits, Prefect has no automation 'retrain-on-drift'" in output
    assert gauges_at(dark_shop)['vitrine_drift_cause_active{cause="darker_photos",kind="day"}'] == 1
    assert gauges_at(dark_shop)['vitrine_drift_retrainings{kind="day",state="claimed"}'] == 1
    page = (dark_shop.folder / f"reports/drift/{dark_shop.yesterday.name}.html").read_text()
    assert "darker" in page.lower()
    assert len(dark_shop.watch().cases.read()[0].cases) == 1


def test_a_cause_is_asked_for_once_and_a_snoozed_one_calls_nobody(dark_shop, tmp_path):
    watch, post = dark_shop.watch(), Post()
    done = check(watch, dark_shop.yesterday, listener=post)
    assert done.judgement.pages
    assert done.judgement.causes[0].name == "darker_photos"
    check(watch, dark_shop.yesterday, listener=post)
    assert len(post.told) == 1
    assert [case.step for case in watch.cases.read()[0].cases] == [Step.TOLD]

    status, said = dark_shop.run("snooze", "darker_photos", "--until", f"{dt.date.today() + dt.timedelta(days=5)}", "--reason", "known")
    assert status == 0, said
    done = check(watch, dark_shop.yesterday, listener=post)
    assert done.judgement.verdict is Verdict.DRIFT
    assert not done.judgement.pages
    assert gauges(dark_shop.folder)['vitrine_drift_cause_active{cause="darker_photos",kind="day"}'] == 0
    assert drift_told.line(done).cause.endswith("darker_photos (snoozed)")
    assert dark_shop.run("wake", "darker_photos")[1].strip() == "darker_photos calls again"


def test_a_page_or_a_workspace_that_fails_costs_no_verdict_and_is_not_hidden(dark_shop, tmp_path):
    (tmp_path / "file").write_text("")
    report = dark_shop.cfg.report
    nowhere = report.evidently.model_copy(update={"workspace": str(tmp_path / "file")})
    report = report.model_copy(update={"folder": str(tmp_path / "file" / "pages"), "evidently": nowhere})
    watch = dark_shop.watch(report=report, check=dark_shop.cfg.check.model_copy(update={"workspace": [Kind.DAY]}))
    done = check(watch, dark_shop.yesterday, listener=Post())
    assert set(done.failed) == {"page", "workspace"}
    assert done.judgement.verdict is Verdict.DRIFT
    assert done.is_told
    assert dark_shop.said()[-1] == (dark_shop.yesterday.name, Verdict.DRIFT)
    assert gauges(dark_shop.folder)['vitrine_drift_step_failed{kind="day",step="page"}'] == 1
    line = drift_told.line(done)
    assert line.page == ""
    assert [one.split(":")[0] for one in line.failed] == ["page failed", "workspace failed"]
    assert "page failed" in drift_told.message([line])


def test_a_check_that_is_killed_while_it_draws_has_called_and_asked_already_and_says_that_it_is_incomplete(dark_shop):
    class Killed(BaseException):
        pass

    def call(name, act):
        if name == "page":
            raise Killed
        return act()

    watch, post = dark_shop.watch(), Post()
    with pytest.raises(Killed):
        check(watch, dark_shop.yesterday, call, listener=post)
    told = gauges(dark_shop.folder)
    assert told['vitrine_drift_cause_active{cause="darker_photos",kind="day"}'] == 1
    assert told['vitrine_drift_step_failed{kind="day",step="page"}'] == 1
    assert [case.step for case in watch.cases.read()[0].cases] == [Step.TOLD]
    check(watch, dark_shop.yesterday, listener=post)
    assert gauges(dark_shop.folder)['vitrine_drift_step_failed{kind="day",step="page"}'] == 0
    assert len(watch.cases.read()[0].cases) == 1


def test_where_prometheus_is_not_told_the_check_says_so_at_its_end(dark_shop, tmp_path):
    (tmp_path / "file").write_text("")
    routes = dark_shop.cfg.routes.model_copy(update={"textfile": str(tmp_path / "file" / "metrics")})
    done = check(dark_shop.watch(routes=routes), dark_shop.yesterday)
    assert not done.is_told
    assert done.page


def test_a_listener_that_is_away_costs_no_verdict(dark_shop):
    class Away(Post):
        def deaf(self):
            raise ConnectionError("nobody is there")

    watch = dark_shop.watch()
    watch.cases.change(lambda cases: cases.with_cases(tuple(case.model_copy(update={"step": Step.CLAIMED}) for case in cases.cases)))
    done = check(watch, dark_shop.yesterday, listener=Away())
    assert done.failed == {"action": "ConnectionError: nobody is there"}
    assert done.page


def test_a_day_without_a_log_is_no_drift_and_no_crash(dark_shop):
    empty = dark_shop.yesterday.__class__(Kind.DAY, dark_shop.yesterday.end, dark_shop.yesterday.end + dt.timedelta(days=1))
    done = check(dark_shop.watch(), empty)
    assert done.judgement.verdict in (Verdict.BROKEN, Verdict.TOO_LITTLE)
    assert done.failed == {}


def test_two_checks_at_once_are_refused(quiet_shop):
    with alone("monitor", quiet_shop.folder / ".vitrine/locks"):
        status, output = quiet_shop.run("check")
    assert status == 1
    assert "StageBusy: monitor is already running in this workspace" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--date", "2026-13-01"], "BadParams: --date 2026-13-01 is no such time"),
        (["check", "--fail-on", "watch"], "BadParams: --fail-on watch"),
        (["check", "--date", "2026-01-01", "--since", "2026-01-01"], "BadParams: --since beside a window"),
        (
            ["snooze", "darkness", "--until", f"{dt.date.today() + dt.timedelta(days=9)}", "--reason", "x"],
            "BadParams: no cause is called 'darkness'",
        ),
        (["snooze", "new_kind", "--until", "soon", "--reason", "x"], "BadParams: --until soon is no time"),
        (["accept", "new_kind", "--reason", "x"], "BadParams: none of the last"),
        (["test-fire", "--cause", "nothing"], "BadParams: no cause is called 'nothing'"),
        (["history", "--kind", "month"], "BadParams: --kind month: one of day, week, hour"),
        (["rehearse", "flood"], "BadParams: no fault is called 'flood'"),
    ],
)
def test_what_cannot_be_is_told_without_a_traceback(quiet_shop, arguments, message):
    from typer.testing import CliRunner

    from components.errors import VitrineError
    from flows.drift_cli import drift

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(quiet_shop.folder)
        done = CliRunner().invoke(drift, arguments)
    assert isinstance(done.exception, VitrineError), done.output
    assert message in f"{type(done.exception).__name__}: {done.exception}"


def test_a_shift_is_accepted_from_the_day_on_which_it_began(tmp_path):
    from components.objects import FolderStore

    history = History(FolderStore(tmp_path))
    for day, judgement in enumerate([quiet(0), drifting(day=1), drifting(day=2), quiet(3)]):
        history.note(judgement, judgement.span.end + dt.timedelta(hours=day))
    known = history.summaries(Kind.DAY)
    assert since_of("darker_photos", known) == drifting(day=2).span.start, "as the judgements were made, each began anew"
    with pytest.raises(BadParams, match=r"none of the last 4 days names stale_index; they name: darker_photos/app_version=3\.1\.0"):
        since_of("stale_index", known)


def test_how_long_a_verdict_stands_is_counted_back_to_the_last_other():
    days = [Verdict.QUIET, Verdict.TOO_LITTLE, Verdict.TOO_LITTLE]
    assert num_same(quiet(), days) == 1
    assert num_same(quiet(), [Verdict.QUIET] * 3) == 4
    assert num_same(quiet(), []) == 1
