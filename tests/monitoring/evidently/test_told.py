"""What Evidently is told of a window, without Evidently."""

import dataclasses
import datetime as dt
import math
import subprocess
import sys

import pytest

from monitoring.evidently.told import ANY_SEGMENT, FAIL, MOST_SURPRISING, PASS, SKIPPED, WARNING, largest_of, lines_of, status_of
from monitoring.evidently.workspace import FAMILIES, project_id, run_id
from monitoring.judged import Verdict
from monitoring.measured import Family
from monitoring.span import Kind, day_of, hour_of, week_of
from tests.monitoring.report.judged_days import THRESHOLD, tiny_shop, unjudged


@pytest.fixture(scope="module")
def faulty():
    return tiny_shop().judged("darker_photos")


def test_a_series_fails_where_it_calls_somebody_and_warns_where_it_is_only_far(faulty):
    for finding in faulty.judgement.findings:
        expected = FAIL if finding.alarming else WARNING if finding.surprise > THRESHOLD else PASS
        assert status_of(finding, faulty.judgement) == expected


@pytest.mark.parametrize("verdict", [Verdict.CALIBRATING, Verdict.TOO_LITTLE, Verdict.BROKEN])
def test_nothing_passes_or_fails_where_nothing_was_judged(faulty, verdict):
    judgement = unjudged(faulty, verdict, "not judged")
    assert {line.status for line in lines_of(judgement, 40)} == {SKIPPED}


def test_the_line_of_any_segment_is_the_largest_and_fails_where_one_does(faulty):
    findings = faulty.judgement.findings
    anywhere = {line.detector: line for line in lines_of(faulty.judgement, 5) if line.segment == ANY_SEGMENT}
    assert set(anywhere) == {finding.measured.detector for finding in findings}
    for name, line in anywhere.items():
        own = [finding for finding in findings if finding.measured.detector == name]
        assert line.surprise == min(max(finding.surprise for finding in own), MOST_SURPRISING)
        assert (line.status == FAIL) == any(finding.alarming for finding in own)


def test_as_many_series_as_asked_for_the_alarming_ones_first(faulty):
    lines = [line for line in lines_of(faulty.judgement, 12) if line.segment != ANY_SEGMENT]
    assert len(lines) == 12
    assert [line.status == FAIL for line in lines] == sorted((line.status == FAIL for line in lines), reverse=True)


def test_a_surprise_that_is_no_number_is_left_out_and_an_infinite_one_is_bounded(faulty):
    first, second = faulty.judgement.findings[:2]
    odd = (dataclasses.replace(first, surprise=math.nan), dataclasses.replace(second, surprise=math.inf))
    judgement = dataclasses.replace(faulty.judgement, findings=odd)
    assert {line.surprise for line in lines_of(judgement, 40)} == {MOST_SURPRISING}
    assert largest_of(judgement) == MOST_SURPRISING
    assert largest_of(dataclasses.replace(faulty.judgement, findings=())) == 0


def test_runs_are_named_in_order_of_time_and_no_two_windows_alike():
    date = dt.date(2026, 3, 1)
    days = [run_id(day_of(dt.date(2026, 3, number))) for number in range(1, 9)]
    assert days == sorted(days)
    assert len({run_id(day_of(date)), run_id(week_of(date)), run_id(hour_of(day_of(date).start)), *days}) == 10
    assert len({project_id(kind) for kind in Kind}) == len(Kind)


def test_every_family_has_a_panel():
    assert set(FAMILIES) == set(Family)


def test_nothing_of_evidently_is_loaded_until_it_is_needed():
    modules = "monitoring.evidently.workspace, monitoring.report.page"
    code = f"import sys, {modules}; print(sorted({{'evidently', 'pandas', 'litestar'}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
