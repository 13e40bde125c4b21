"""What the judge says: plain values, so that the decision log can hold them and compare them with a second hearing."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Verdict(StrEnum):
    """PASS: shown not worse, every metric. FAIL: shown worse, some metric. NOT_YET: too little is known. HOLD: no verdict by the horizon.
    MISMATCH: users are not split as they should be, so nothing that was counted can be believed."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_YET = "NOT_YET"
    HOLD = "HOLD"
    MISMATCH = "MISMATCH"


@dataclass(frozen=True)
class Row:
    """One metric. `estimate`, `low`, `high` and `limit` are differences, canary minus stable, in the metric's unit or, where `relative`, as
    shares of the stable release's value; None where nothing is known, or a side has no bound. `limit` is the margin with its sign: the
    metric passes where the whole interval lies on its better side. The interval is that of the boundaries: it says what the verdict says.

    `margin_z` and `fail_z` are how many standard errors better than the margin, and than what makes it fail (the margin for a guardrail, no
    difference for a success metric); it passes where margin_z reaches pass_bound, and fails where fail_z falls to -fail_bound.
    """

    metric: str
    verdict: Verdict
    better: Literal["lower", "higher"]
    relative: bool
    users_stable: int
    users_canary: int
    stable: float | None
    canary: float | None
    estimate: float | None
    low: float | None
    high: float | None
    limit: float
    margin_z: float | None
    fail_z: float | None
    pass_bound: float | None
    fail_bound: float | None
    users_needed: int | None


@dataclass(frozen=True)
class Ratio:
    """Were users split as the weight says? `evidence` is the odds against it (log10 of a Bayes factor), the highest of all looks so far,
    and `limit` what it would have to reach."""

    expected_share: float
    found_share: float | None
    evidence: float
    limit: float


@dataclass(frozen=True)
class Judgement:
    """The verdict on a stratum at a look. `num_users` are those of the smaller arm, `horizon_users` how many of them there may be, and
    `users_needed` how many more a verdict may take; `num_analyses` how often the boundaries were put to the test so far, this look
    included if `is_analysis`. Floats are rounded to six digits, so that another machine's last bits change nothing."""

    group: str
    weight_percent: int
    verdict: Verdict
    reason: str
    num_users: int
    horizon_users: int | None
    users_needed: int
    num_analyses: int
    is_analysis: bool
    rows: tuple[Row, ...]
    ratio: Ratio


def rounded(value: float | None) -> float | None:
    """To six digits; None for what is not a finite number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}") + 0.0
