"""What a check says to Prometheus."""

import dataclasses
import datetime as dt
import re
import stat
import threading

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from components.contract import bind, read_params
from components.errors import BadParams, StoreFailed
from monitoring.config import MonitorConfig
from monitoring.judged import CauseName, Verdict
from monitoring.metrics import gauges_of, publish
from monitoring.span import Kind
from tests.conftest import PROJECT
from tests.monitoring.routes.programs import RUNBOOK, outcome, routes
from tests.monitoring.verdicts import RESTS_ON, cause, drifting, finding, judged, quiet


def series(judgement, cfg=None, **changes):
    """Values by name and labels less `kind`."""
    found = {}
    for metric in gauges_of(outcome(judgement, **changes), cfg or routes(), RUNBOOK).collect():
        for sample in metric.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "kind"}
            found[sample.name, *labels.values()] = sample.value
    return found


def test_the_verdict_is_a_set_of_states_of_which_one_holds():
    for verdict in Verdict:
        values = series(judged(verdict))
        states = {key[1]: value for key, value in values.items() if key[0] == "vitrine_drift_verdict"}
        assert states == {one.value.replace(" ", "_"): float(one is verdict) for one in Verdict}


def test_every_cause_has_a_series_so_that_its_alert_can_end():
    values = series(drifting(CauseName.NEW_KIND))
    active = {key[1]: value for key, value in values.items() if key[0] == "vitrine_drift_cause_active"}
    assert active == {name.value: float(name is CauseName.NEW_KIND) for name in CauseName}
    assert series(quiet()).keys() >= {("vitrine_drift_cause_active", name.value) for name in CauseName}


@pytest.mark.parametrize("verdict", [Verdict.QUIET, Verdict.WATCH, Verdict.CALIBRATING, Verdict.TOO_LITTLE])
def test_no_cause_is_active_without_a_page(verdict):
    values = series(judged(verdict, cause()))
    assert not any(value for key, value in values.items() if key[0] == "vitrine_drift_cause_active")


def test_a_snoozed_cause_is_not_active_but_seen():
    later = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    values = series(judged(Verdict.DRIFT, cause(snoozed_until=later, snooze_reason="known")))
    assert (values["vitrine_drift_cause_active", "darker_photos"], values["vitrine_drift_cause_snoozed", "darker_photos"]) == (0, 1)


def test_segments_are_few_and_short_whatever_the_log_holds():
    found = tuple(finding(f"app_version={'9' * 500}.{number}", surprise=number / 10) for number in range(400))
    values = series(judged(Verdict.QUIET, findings=found), routes(max_segments=3))
    segments = [key[1] for key in values if key[0] == "vitrine_drift_segment_surprise"]
    assert len(segments) == 1, "cut to the same beginning"
    found = tuple(finding(f'app_version={number}\n"}}', surprise=number / 10) for number in range(400))
    values = series(judged(Verdict.QUIET, findings=found), routes(max_segments=3))
    assert [values[key] for key in values if key[0] == "vitrine_drift_segment_surprise"] == [39.9, 39.8, 39.7]


def test_numbers_and_times_are_those_of_the_judgement():
    values = series(drifting(), num_same=3, num_retrainings={"claimed": 1}, failed=frozenset({"page"}))
    assert values["vitrine_drift_surprise", "inputs"] == 6.5
    assert values[("vitrine_drift_surprise_threshold",)] == 4.2
    assert values[("vitrine_drift_false_pages_per_quarter",)] == 0.4
    assert values[("vitrine_drift_window_rows",)] == 5000
    assert values[("vitrine_drift_history_days",)] == 84
    assert values[("vitrine_drift_verdict_windows",)] == 3
    assert values[("vitrine_drift_window_end_timestamp_seconds",)] == dt.datetime(2026, 3, 5, tzinfo=dt.UTC).timestamp()
    assert values["vitrine_drift_retrainings", "claimed"] == 1
    assert (values["vitrine_drift_step_failed", "page"], values["vitrine_drift_step_failed", "action"]) == (1, 0)


def test_a_window_without_any_finding_has_metrics_too():
    values = series(judged(Verdict.BROKEN, calibration=None, findings=(), problems=("no file at all",), num_rows=0))
    assert values["vitrine_drift_cause_active", "broken_input"] == 1
    assert values[("vitrine_drift_problems",)] == 1
    assert values[("vitrine_drift_history_days",)] == 0


def test_the_rules_ask_for_no_series_that_is_not_written():
    text = (PROJECT / "monitoring/rules/drift.yml").read_text()
    asked = set(re.findall(r"vitrine_drift_[a-z_]+", text))
    written = {key[0] for key in series(drifting())}
    assert asked - written == {"vitrine_drift_"} & asked
    tested = set(re.findall(r"alertname: (\w+)", (PROJECT / "monitoring/rules/drift_test.yml").read_text()))
    alerts = {rule["alert"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]}
    assert tested == alerts


def test_the_file_is_prometheus_text_that_another_user_may_read_and_a_reader_sees_all_or_nothing(tmp_path):
    cfg, over, seen = routes(textfile=str(tmp_path / "metrics")), threading.Event(), []
    publish(gauges_of(outcome(quiet()), cfg, RUNBOOK), Kind.DAY, cfg)
    path = tmp_path / "metrics" / "vitrine_drift_day.prom"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def read():
        while not over.is_set():
            seen.append({family.name for family in text_string_to_metric_families(path.read_text())})

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(40):
        publish(gauges_of(outcome(quiet()), cfg, RUNBOOK), Kind.DAY, cfg)
    over.set()
    reader.join()
    assert len({frozenset(names) for names in seen}) == 1
    assert [one.name for one in path.parent.iterdir()] == ["vitrine_drift_day.prom"]


def test_a_folder_that_cannot_be_written_and_a_gateway_that_is_away_are_told(tmp_path):
    (tmp_path / "file").write_text("")
    registry = gauges_of(outcome(quiet()), routes(), RUNBOOK)
    with pytest.raises(StoreFailed, match=r"monitor\.routes\.textfile"):
        publish(registry, Kind.DAY, routes(textfile=str(tmp_path / "file" / "metrics")))
    with pytest.raises(StoreFailed, match=r"http://127\.0\.0\.1:9 did not take .*monitor\.routes\.pushgateway") as error:
        publish(registry, Kind.DAY, routes(pushgateway="http://user:secret@127.0.0.1:9", timeout_s=1.0))
    assert "secret" not in str(error.value)


def test_an_address_that_is_none_is_refused():
    params = read_params(PROJECT / "params.yaml")
    params["monitor"]["routes"]["pushgateway"] = "pushgateway:9091"
    with pytest.raises(BadParams, match=r"monitor\.routes\.pushgateway.*http"):
        bind(MonitorConfig, "monitor", params)


def test_a_broken_input_that_is_snoozed_calls_nobody():
    later = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    broken = cause(CauseName.BROKEN_INPUT, findings=(), segments=(), snoozed_until=later, snooze_reason="the store moves")
    values = series(judged(Verdict.BROKEN, broken))
    assert (values["vitrine_drift_cause_active", "broken_input"], values["vitrine_drift_cause_snoozed", "broken_input"]) == (0, 1)


def test_while_it_calibrates_there_is_no_threshold():
    resting = dataclasses.replace(RESTS_ON, threshold=float("inf"), false_pages_per_quarter=float("nan"), num_days=3)
    values = series(judged(Verdict.CALIBRATING, calibration=resting))
    assert values[("vitrine_drift_history_days",)] == 3
    assert ("vitrine_drift_surprise_threshold",) not in values
