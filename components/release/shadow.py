"""What the shadow shows: how the candidate's answers differ from the stable release's, before any user sees them, and the limits that are
frozen there. Latencies are kept as a histogram whose bins are 2^-7 of their value wide, scores as one of every float16 there is."""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.release.evidence import Sample
from components.release.keys import roomy
from components.release.logged import SHADOW, STABLE, Answers
from components.release.rung import SERVER_ERROR, Members, guarded
from components.release.strata import CountingConfig, Limits, Stratum
from components.release.sums import UserSums

COLUMNS = ("answers", "errors", "empty", "hits", "sellers", "scored", "compared", "overlap", "shift")
MICRO = 1e6  # overlap and shift are summed as whole millionths, so that sums do not depend on the order of rows
INFINITE = 0x7C00  # the bits of the first float16 that is no number, above those of every number from 0 up
LATENCY_SHIFT = 16  # bits of float32 that a bin of latencies leaves out
Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean over rows with its 95 % interval (normal, by user), which is the whole range below two users."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ShadowReport:
    """A group of platforms in the shadow. `num_answers` are the stable release's, `num_shadowed` the candidate's beside some of them, of
    which `num_errors` failed and `num_compared` could be compared. `overlap` is the share of the stable release's items that the candidate
    gave too, higher is nearer; `score_shift` its mean Image Score minus the stable release's; both by user, and None before there is one.
    Latency ratios are the candidate's median and 99th percentile over the stable release's, None before both have answered."""

    group: str
    since: dt.datetime
    at: dt.datetime
    num_answers: int
    num_shadowed: int
    num_errors: int
    num_compared: int
    num_users: int
    overlap: Estimate | None
    score_shift: Estimate | None
    latency_ratio: float | None
    latency_ratio_p99: float | None


@dataclass(frozen=True)
class Baseline:
    """The stable release on a group's platforms in the shadow, frozen before their first user sees the candidate: the limits that make an
    answer slow and a score lie outside, and what share each guardrail then had. At 100 %, where no control arm is left, the candidate is
    held to these. `rule` is what it was frozen by."""

    group: str
    at: dt.datetime
    num_answers: int
    num_users: int
    limits: Limits
    values: Mapping[str, float]
    rule: CountingConfig | None = None


class Shadow:
    """Sums by user of a group in the shadow: about 85 bytes a user, and 1 MiB of histograms."""

    def __init__(self, stratum: Stratum) -> None:
        self.stratum = stratum
        self._members = Members(stratum, SHADOW)
        self.users = UserSums(COLUMNS)
        self.latencies = np.zeros(1 << (32 - LATENCY_SHIFT), np.int64)
        self.scores = np.zeros(1 << 16, np.int64)
        self._shadow_latencies = np.zeros_like(self.latencies)
        self._is_shadowed_U = np.zeros(0, np.bool_)
        self._num_shadowed, self._num_errors = 0, 0

    def answered(self, rows: Answers) -> None:
        """Counts the answers that are this stratum's, each of which comes once."""
        rows = rows.take(self._members.where(rows))
        stable, shadowed = rows.take(rows.arm_N == STABLE), rows.take(rows.arm_N == SHADOW)
        self.users.add(self.users.users(stable.user_N), **guarded(stable, None))
        self.latencies += _latencies(stable)
        self.scores += np.bincount(stable.score_H, minlength=len(self.scores))
        self._compare(shadowed)

    def _compare(self, rows: Answers) -> None:
        is_error_N = rows.status_N >= SERVER_ERROR
        self._num_shadowed, self._num_errors = self._num_shadowed + len(rows), self._num_errors + int(is_error_N.sum())
        self._shadow_latencies += _latencies(rows.take(~is_error_N))
        both = rows.take(~is_error_N & np.isfinite(rows.overlap_N) & np.isfinite(rows.shift_N))
        number_N = self.users.users(both.user_N)
        self._is_shadowed_U = roomy(self._is_shadowed_U, len(self.users))
        self._is_shadowed_U[number_N] = True
        overlap_N, shift_N = (np.rint(values_N * MICRO).astype(np.int64) for values_N in (both.overlap_N, both.shift_N))
        self.users.add(number_N, compared=1, overlap=overlap_N, shift=shift_N)

    def report(self, at: dt.datetime) -> ShadowReport:
        """As it stands."""
        stratum = self.stratum
        return ShadowReport(
            group=stratum.group,
            since=stratum.since,
            at=at,
            num_answers=int(self.users.of("answers").sum()),
            num_shadowed=self._num_shadowed,
            num_errors=self._num_errors,
            num_compared=int(self.users.of("compared").sum()),
            num_users=int(self._is_shadowed_U.sum()),
            overlap=estimate(self.users.sample("overlap", "compared"), 0.0, 1.0),
            score_shift=estimate(self.users.sample("shift", "compared"), -1.0, 1.0),
            latency_ratio=_ratio(self._shadow_latencies, self.latencies, 0.5),
            latency_ratio_p99=_ratio(self._shadow_latencies, self.latencies, 0.99),
        )

    def baseline(self, at: dt.datetime, cfg: CountingConfig) -> Baseline | None:
        """None until the stable release has answered often enough, and given any hit."""
        num_answers, finite = int(self.users.of("answers").sum()), self.scores[:INFINITE]
        if num_answers < cfg.min_baseline_answers or not finite.any():
            return None
        low, high = (float(np.uint16(_quantile(finite, share)).view(np.float16)) for share in cfg.score_band)
        limits = Limits(_upper(_quantile(self.latencies, cfg.slow_quantile)), low, high)
        num_users = int(np.count_nonzero(self.users.of("answers")))
        return Baseline(self.stratum.group, at, num_answers, num_users, limits, self._values(limits), cfg)

    def _values(self, limits: Limits) -> dict[str, float]:
        """The guardrails that its stable answers had, under those limits; one that nothing was counted for is left out."""
        score = np.arange(len(self.scores), dtype=np.uint16).view(np.float16)
        num_outside = self.scores[(score < limits.score_low) | ~(score <= limits.score_high)].sum()
        num_slow = self.latencies[_bin(limits.latency_ms) + 1 :].sum()
        counts = {name: float(self.users.of(name).sum()) for name in COLUMNS}
        shares = {
            "error_share": (counts["errors"], counts["answers"]),
            "slow_share": (float(num_slow), counts["answers"]),
            "empty_share": (counts["empty"], counts["answers"]),
            "score_shift": (float(num_outside), counts["scored"]),
            "seller_share": (counts["sellers"], counts["hits"]),
        }
        return {name: part / whole for name, (part, whole) in shares.items() if whole}


def estimate(sample: Sample, lowest: float, highest: float) -> Estimate | None:
    """sum_x / sum_y in millionths, whose standard error is that of a ratio of sums over independent users (the delta method)."""
    if not sample.sum_y:
        return None
    ratio = sample.sum_x / sample.sum_y
    if sample.num_users < 2:
        return Estimate(ratio / MICRO, lowest, highest)
    squares = max(sample.sum_xx - 2 * ratio * sample.sum_xy + ratio**2 * sample.sum_yy, 0.0)
    half = Z95 * math.sqrt(squares * sample.num_users / (sample.num_users - 1)) / sample.sum_y
    return Estimate(ratio / MICRO, max((ratio - half) / MICRO, lowest), min((ratio + half) / MICRO, highest))


def _latencies(rows: Answers) -> np.ndarray:
    bins = rows.latency_N.astype(np.float32).view(np.uint32) >> LATENCY_SHIFT
    return np.bincount(bins.astype(np.int64), minlength=1 << (32 - LATENCY_SHIFT))


def _bin(latency_ms: float) -> int:
    """The bin whose upper edge that is."""
    return int(np.float32(latency_ms).view(np.uint32) >> LATENCY_SHIFT) - 1


def _upper(place: int) -> float:
    """The upper edge of a bin, in ms: every latency in the bin lies below."""
    return float(np.uint32((place + 1) << LATENCY_SHIFT).view(np.float32))


def _quantile(counts: np.ndarray, share: float) -> int:
    """The first place up to which at least that share lies."""
    total = np.cumsum(counts)
    return int(np.searchsorted(total, max(math.ceil(share * total[-1]), 1)))


def _ratio(upper: np.ndarray, lower: np.ndarray, share: float) -> float | None:
    if not upper.any() or not lower.any():
        return None
    return _upper(_quantile(upper, share)) / _upper(_quantile(lower, share))
