"""Judgements made by hand, for what comes after the verdict."""

import datetime as dt
from typing import Any

from monitoring.judged import Blame, Calibration, Cause, CauseName, Finding, Judgement, Verdict
from monitoring.measured import Family, Measured
from monitoring.span import day_of

FIRST = dt.date(2026, 3, 4)
RELEASE = "a" * 64
RESTS_ON = Calibration(num_days=84, num_series=400, threshold=4.2, false_pages_per_quarter=0.4, false_pages_upper=0.9)


def finding(segment: str = "app_version=3.1.0", surprise: float = 6.5, effect: str = "brightness 0.52 -> 0.44") -> Finding:
    """A series far outside its history."""
    measured = Measured("brightness", Family.INPUTS, segment, 0.9, effect, 450, 600)
    return Finding(measured, expected=0.1, spread=0.05, surprise=surprise, part_surprises=(surprise,) * 6, alarming=surprise > 4)


def cause(name: CauseName = CauseName.DARKER_PHOTOS, segment: str = "app_version=3.1.0", **changes: Any) -> Cause:
    """A cause with one segment that explains most of it."""
    return Cause(**{"name": name, "findings": (finding(segment),), "segments": (Blame(segment, 0.7),)} | changes)


def judged(verdict: Verdict = Verdict.DRIFT, *causes: Cause, day: int = 0, **changes: Any) -> Judgement:
    """What is said of the day, counted from 4 March 2026."""
    facts = {
        "span": day_of(FIRST + dt.timedelta(days=day)),
        "release_id": RELEASE,
        "fingerprint": "0123456789abcdef",
        "verdict": verdict,
        "reason": "as it was made",
        "num_rows": 5000,
        "causes": causes,
        "findings": tuple(found for one in causes for found in one.findings),
        "calibration": RESTS_ON,
    }
    return Judgement(**facts | changes)


def drifting(*names: CauseName, day: int = 0) -> Judgement:
    """A day that pages for the causes."""
    return judged(Verdict.DRIFT, *(cause(name) for name in names or (CauseName.DARKER_PHOTOS,)), day=day)


def quiet(day: int = 0) -> Judgement:
    """A day on which nothing is found."""
    return judged(Verdict.QUIET, day=day)
