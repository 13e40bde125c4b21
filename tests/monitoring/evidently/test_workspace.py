"""Our verdicts as they stand in Evidently's own files, read with Evidently's own code."""

import dataclasses
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import BadWorkspace
from monitoring.evidently.told import ANY_SEGMENT, CODES, OUTCOMES, lines_of
from monitoring.evidently.workspace import open_ui, project_id, run_id, save_run
from monitoring.judged import Verdict
from monitoring.span import Kind, day_of, hour_of
from tests.monitoring.report.judged_days import THRESHOLD, report_config, tiny_shop, unjudged

SEED = 3
READ = """
import json, sys
from pathlib import Path
from evidently.ui.storage.local.base import LocalState
state = LocalState(sys.argv[1])
told = {"ours": [name for name in sys.modules if name.split(".")[0] in ("monitoring", "components")], "projects": {}}
for project in state.list_projects():
    runs = {}
    for run in state.list_snapshots(project):
        model = state.read_snapshot(project, run)
        results = model.metric_results.values()
        ours = [one for one in results if one.metric_value_location.metric.params["type"].split(":")[-1].startswith("Drift")]
        runs[str(run)] = {"name": model.name, "tags": model.tags, "timestamp": model.timestamp.isoformat()}
        runs[str(run)]["num_others"] = len(results) - len(ours)
        runs[str(run)]["metrics"] = [
            {"params": {k: v for k, v in one.metric_value_location.metric.params.items() if k != "tests"}, "value": one.value,
             "tests": [{"status": test.status.value, "threshold": test.test_config["threshold"]} for test in one.tests]}
            for one in ours
        ]
        runs[str(run)]["rows"] = [one.value for one in results if one.metric_value_location.metric.params["type"].endswith(":RowCount")]
    dashboard = state.read_dashboard(project)
    about = {"name": state.read_project(project).name, "panels": [panel.title for panel in dashboard.panels]}
    told["projects"][str(project)] = about | {"runs": runs, "tabs": len(dashboard.tabs)}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def days():
    shop = tiny_shop()
    return {"quiet": shop.judged(None, 20), "faulty": shop.judged("darker_photos", 21)}


@pytest.fixture(scope="module")
def cfg(days, tmp_path_factory):
    """A workspace that keeps three windows of a kind, and had five: the first day of all, two quiet ones, a faulty and a broken one."""
    cfg = report_config().evidently.model_copy(
        update={"workspace": str(tmp_path_factory.mktemp("evidently") / "workspace"), "num_windows": 3, "num_series": 15, "max_rows": 100}
    )
    quiet, faulty = days["quiet"], days["faulty"]
    for date in (dt.date(2025, 12, 1), dt.date(2025, 12, 2)):
        early = unjudged(quiet, Verdict.CALIBRATING, "early")
        save_run(dataclasses.replace(early, span=day_of(date)), None, None, cfg, SEED)
    save_run(quiet.judgement, quiet.day.window(), quiet.reference, cfg, SEED)
    save_run(dataclasses.replace(faulty.judgement, findings=()), None, None, cfg, SEED)
    save_run(faulty.judgement, faulty.day.window(), faulty.reference, cfg, SEED)
    broken = unjudged(faulty, Verdict.BROKEN, "two vector spaces in one window")
    save_run(dataclasses.replace(broken, span=day_of(dt.date(2026, 1, 23))), None, None, cfg, SEED)
    save_run(dataclasses.replace(broken, span=hour_of(dt.datetime(2026, 1, 23, 4, tzinfo=dt.UTC))), None, None, cfg, SEED)
    return cfg


@pytest.fixture(scope="module")
def read(cfg, tmp_path_factory):
    """What Evidently reads in the workspace, in a process that has none of our code."""
    done = subprocess.run(
        [sys.executable, "-c", READ, cfg.workspace], capture_output=True, text=True, timeout=300, cwd=tmp_path_factory.mktemp("elsewhere")
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs(read):
    """The runs of days, by window."""
    return {run["name"]: run for run in read["projects"][str(project_id(Kind.DAY))]["runs"].values()}


def found_in(run, kind):
    return [one for one in run["metrics"] if one["params"]["type"].endswith(f":{kind}")]


@pytest.mark.parametrize("which", ["quiet", "faulty"])
def test_every_verdict_of_ours_is_evidentlys(days, runs, cfg, which):
    judgement = days[which].judgement
    run = runs[judgement.span.name]
    told = {(one["params"]["detector"], one["params"]["segment"]): (one["value"], one["tests"]) for one in found_in(run, "DriftSurprise")}
    lines = lines_of(judgement, cfg.num_series)
    assert set(told) == {(line.detector, line.segment) for line in lines}
    for line in lines:
        value, tests = told[line.detector, line.segment]
        assert value == pytest.approx(line.surprise)
        assert tests == [{"status": line.status, "threshold": THRESHOLD}]
    verdict = found_in(run, "DriftVerdict")[0]
    assert verdict["value"] == CODES[judgement.verdict]
    assert [test["status"] for test in verdict["tests"]] == [OUTCOMES[judgement.verdict]]
    levels = {one["params"]["of"]: one["value"] for one in found_in(run, "DriftLevel")}
    assert levels["threshold"] == THRESHOLD


def test_a_faulty_day_fails_and_a_quiet_one_passes(days, runs):
    assert [test["status"] for test in found_in(runs[days["faulty"].judgement.span.name], "DriftVerdict")[0]["tests"]] == ["FAIL"]
    assert [test["status"] for test in found_in(runs[days["quiet"].judgement.span.name], "DriftVerdict")[0]["tests"]] == ["SUCCESS"]


def test_evidently_reads_it_without_any_code_of_ours(read):
    assert read["ours"] == []


def test_only_the_last_windows_of_a_kind_are_kept(read):
    days, hours = (read["projects"][str(project_id(kind))] for kind in (Kind.DAY, Kind.HOUR))
    assert sorted(run["name"] for run in days["runs"].values()) == ["2026-01-21", "2026-01-22", "2026-01-23"]
    assert [run["name"] for run in hours["runs"].values()] == ["2026-01-23T04"]


def test_a_window_that_is_judged_again_replaces_its_run(runs, days):
    assert len(found_in(runs[days["faulty"].judgement.span.name], "DriftSurprise")) > 15


def test_evidentlys_own_metrics_see_few_rows(runs, days):
    run = runs[days["quiet"].judgement.span.name]
    assert run["num_others"] > 30
    assert set(run["rows"]) == {100}


def test_a_broken_window_stands_there_too(runs):
    run = runs["2026-01-23"]
    assert run["tags"] == ["broken input"]
    assert run["num_others"] == 0
    assert {test["status"] for one in found_in(run, "DriftSurprise") for test in one["tests"]} == {"SKIPPED"}
    assert [test["status"] for test in found_in(run, "DriftVerdict")[0]["tests"]] == ["ERROR"]


def test_runs_stand_at_the_time_their_window_began(runs):
    assert runs["2026-01-22"]["timestamp"] == "2026-01-22T00:00:00"


def test_each_project_has_one_dashboard_with_a_panel_a_family(read):
    project = read["projects"][str(project_id(Kind.DAY))]
    assert project["name"] == "Drift by day"
    assert project["tabs"] == 1
    assert len(project["panels"]) == 7


def test_nothing_half_written_lies_about(cfg):
    workspace = Path(cfg.workspace)
    assert [path.name for path in workspace.parent.iterdir()] == [workspace.name]
    names = {path.name for path in workspace.rglob("*.json")}
    assert f"{run_id(day_of(dt.date(2026, 1, 23)))}.json" in names


def test_what_a_browser_draws_holds_no_nan(cfg):
    for path in Path(cfg.workspace).rglob("snapshots/*.json"):
        model = json.loads(path.read_text())
        assert "NaN" not in json.dumps([model["widgets"], model["tests_widgets"]])


def test_a_workspace_without_a_window_says_what_to_do(tmp_path):
    with pytest.raises(BadWorkspace, match="vitrine drift check"):
        open_ui(report_config().evidently.model_copy(update={"workspace": str(tmp_path)}), 1)


def test_lines_of_any_segment_feed_the_panels(runs, days):
    told = {
        one["params"]["detector"]
        for one in found_in(runs[days["quiet"].judgement.span.name], "DriftSurprise")
        if one["params"]["segment"] == ANY_SEGMENT
    }
    assert told == {finding.measured.detector for finding in days["quiet"].judgement.findings}
