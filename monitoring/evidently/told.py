"""What Evidently is told of a window: each series with the outcome that our verdict gave it. Pure, and without evidently."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitoring.judged import Finding, Judgement, Verdict
from monitoring.report import words

SERIES, ABOUT = "series", "about"  # names of the tables that a report is given beside the rows
ANY_SEGMENT = "any segment"
PASS, WARNING, FAIL, SKIPPED, ERROR = "SUCCESS", "WARNING", "FAIL", "SKIPPED", "ERROR"  # of evidently's TestStatus
MOST_SURPRISING = 99.0  # a window in 10^99; what is beyond, or infinite, stands as this

CODES = {
    Verdict.QUIET: 0,
    Verdict.WATCH: 1,
    Verdict.DRIFT: 2,
    Verdict.BROKEN: 3,
    Verdict.CALIBRATING: -1,
    Verdict.TOO_LITTLE: -1,
}
OUTCOMES = {
    Verdict.QUIET: PASS,
    Verdict.WATCH: WARNING,
    Verdict.DRIFT: FAIL,
    Verdict.BROKEN: ERROR,
    Verdict.CALIBRATING: SKIPPED,
    Verdict.TOO_LITTLE: SKIPPED,
}


@dataclass(frozen=True)
class Line:
    """A series, as Finding has it, and the outcome of its test. The line of a detector in `any segment` is its most surprising one."""

    detector: str
    family: str
    segment: str
    value: float
    expected: float
    surprise: float
    effect: str
    status: str


def status_of(finding: Finding, judgement: Judgement) -> str:
    """FAIL for a series that calls somebody, WARNING for one that is far but not large or lasting, SKIPPED where nothing was judged."""
    if judgement.calibration is None or judgement.verdict in (Verdict.CALIBRATING, Verdict.TOO_LITTLE, Verdict.BROKEN):
        return SKIPPED
    if finding.alarming:
        return FAIL
    return WARNING if finding.surprise > judgement.calibration.threshold else PASS


def lines_of(judgement: Judgement, num_series: int) -> tuple[Line, ...]:
    """A line for each detector in `any segment`, by name, then the `num_series` most surprising series, alarming ones before all others.
    What is no number is left out."""
    known = [_line(one, judgement) for one in judgement.findings if not math.isnan(one.surprise)]
    ordered = sorted(known, key=lambda line: (line.status != FAIL, -line.surprise))
    unique = list({(line.detector, line.segment): line for line in reversed(ordered)}.values())[::-1]
    return (*_anywhere(ordered), *unique[:num_series])


def _anywhere(lines: Sequence[Line]) -> list[Line]:
    """Each detector's most surprising line, failed where any of its lines has."""
    found = {}
    for name in sorted({line.detector for line in lines}):
        own = [line for line in lines if line.detector == name]
        first = max(own, key=lambda line: line.surprise)
        status = FAIL if any(line.status == FAIL for line in own) else first.status
        found[name] = replace(first, segment=ANY_SEGMENT, effect=f"{first.effect} ({first.segment})", status=status)
    return list(found.values())


def _line(finding: Finding, judgement: Judgement) -> Line:
    measured = finding.measured
    told = words.clip(measured.detector, 60), str(measured.family), words.clip(measured.segment, 80)
    surprise = min(max(finding.surprise, 0.0), MOST_SURPRISING)
    return Line(*told, measured.value, finding.expected, surprise, words.clip(measured.effect, 120), status_of(finding, judgement))


def largest_of(judgement: Judgement) -> float:
    """The largest surprise of the window; 0 where nothing was measured."""
    known = [one.surprise for one in judgement.findings if not math.isnan(one.surprise)]
    return min(max(known, default=0.0), MOST_SURPRISING)
