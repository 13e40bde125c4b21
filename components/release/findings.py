"""What the judge found, for people: a row for each metric, how many more users it takes, and the verdict in one sentence. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.release import contrast
from components.release.evidence import EMPTY, Look
from components.release.judgement import Ratio, Row, Verdict, rounded
from components.release.ratio import Counted, Floats
from components.release.rules import JudgeConfig, Metric
from components.release.schedule import Bound

MOST_NAMED = 2


@dataclass(frozen=True)
class Hearing:
    """The last look: both arms (1, M), the z of each metric (M,), which are shown not worse now, which were ever shown to fail, and whether
    a pass stands."""

    stable: Counted
    canary: Counted
    margin_z_M: Floats
    fail_z_M: Floats
    passed_M: npt.NDArray[np.bool_]
    failed_M: npt.NDArray[np.bool_]
    stands: bool


def limits_of(metrics: Iterable[Metric], group: str) -> Floats:
    """(M,): each margin as a difference, canary minus stable: above 0 where lower is better, else below."""
    return np.array([metric.margin_in(group) * (1.0 if metric.better == "lower" else -1.0) for metric in metrics])


def rows(
    heard: Hearing, bound: Bound, users: Sequence[int], horizon: int | None, asked: Mapping[str, Metric], look: Look
) -> tuple[Row, ...]:
    """A row for each metric, in the order of the config."""
    limit_M = limits_of(asked.values(), look.group)
    is_relative_M = np.array([metric.relative for metric in asked.values()])
    stable_M, canary_M = heard.stable.value_BM[0], heard.canary.value_BM[0]
    with np.errstate(all="ignore"):
        estimate_M = np.where(is_relative_M, canary_M / stable_M - 1, canary_M - stable_M)
    low_M, high_M = _interval(heard, bound, asked.values())

    def row(m: int, name: str, metric: Metric) -> Row:
        samples = look.samples.get(name, {})
        verdict = Verdict.FAIL if heard.failed_M[m] else Verdict.PASS if heard.passed_M[m] else Verdict.NOT_YET
        is_open = verdict is Verdict.NOT_YET
        return Row(
            metric=name,
            verdict=verdict,
            better=metric.better,
            relative=metric.relative,
            users_stable=samples.get("stable", EMPTY).num_users,
            users_canary=samples.get("canary", EMPTY).num_users,
            stable=rounded(stable_M[m]),
            canary=rounded(canary_M[m]),
            estimate=rounded(estimate_M[m]),
            low=rounded(low_M[m]),
            high=rounded(high_M[m]),
            limit=float(limit_M[m]),
            margin_z=rounded(heard.margin_z_M[m]),
            fail_z=rounded(heard.fail_z_M[m]),
            pass_bound=rounded(bound.pass_z),
            fail_bound=rounded(bound.fail_z),
            users_needed=_metric_needs(heard.margin_z_M[m], bound.pass_z, users[-1], horizon) if is_open else 0,
        )

    return tuple(row(m, name, metric) for m, (name, metric) in enumerate(asked.items()))


def _interval(heard: Hearing, bound: Bound, metrics: Iterable[Metric]) -> tuple[Floats, Floats]:
    """(M,) and (M,): the harmful end lies where the pass boundary puts it, the other where the fail boundary does."""
    asked = list(metrics)
    is_lower_M, is_relative_M = np.array([metric.better == "lower" for metric in asked]), np.array([metric.relative for metric in asked])
    low_z_M = np.where(is_lower_M, bound.fail_z, bound.pass_z)
    high_z_M = np.where(is_lower_M, bound.pass_z, bound.fail_z)
    low_BM, high_BM = contrast.bounds(heard.stable, heard.canary, is_relative_M, low_z_M, high_z_M)
    return low_BM[0], high_BM[0]


def _metric_needs(margin_z: float, pass_z: float, users: int, horizon: int | None) -> int | None:
    """Users of the smaller arm until the metric passes if its difference stays: z grows with their root. None where it would not."""
    if not (margin_z > 0 and math.isfinite(pass_z)):
        return None
    more = max(1, math.ceil(users * ((pass_z / margin_z) ** 2 - 1)))
    return more if horizon is None or users + more <= horizon else None


def needed(found: Sequence[Row], users: Sequence[int], plan: Sequence[Bound], horizon: int | None, cfg: JudgeConfig) -> int:
    """How many more users of the smaller arm a verdict may take, at least until the next analysis; up to the horizon where some metric's
    own number is not known."""
    tested = [count for count, bound in zip(users, plan, strict=True) if math.isfinite(bound.fail_z)]
    following = max(cfg.min_users, math.ceil(tested[-1] * cfg.growth) if tested else 0)
    wanted = [row.users_needed for row in found]
    at_least = max(1, following - users[-1], *(count for count in wanted if count is not None))
    if horizon is None:
        return at_least
    return max(1, horizon - users[-1]) if None in wanted else min(at_least, max(1, horizon - users[-1]))


def reason(verdict: Verdict, found: Sequence[Row], ratio: Ratio, look: Look, users: int, missing: int) -> str:
    """The verdict in one sentence."""
    where = f"{look.group} at {look.weight_percent} %, {users:,} users in the smaller arm"
    longest = sorted((row for row in found if row.verdict is Verdict.NOT_YET), key=lambda row: -(row.users_needed or math.inf))
    open_rows = [_words(row) for row in longest]
    if verdict is Verdict.MISMATCH:
        share = "none" if ratio.found_share is None else f"{ratio.found_share:.3%}"
        return f"sample-ratio mismatch in {where}: {share} of users in the canary where {ratio.expected_share:.0%} are due"
    if verdict is Verdict.FAIL:
        return f"shown worse in {where}: {'; '.join(_words(row) for row in found if row.verdict is Verdict.FAIL)}"
    if verdict is Verdict.PASS:
        return f"shown not worse than the margin in {where}: {', '.join(row.metric for row in found)}"
    if verdict is Verdict.HOLD:
        return f"no verdict by the horizon in {where}: {'; '.join(open_rows) or 'nothing was shown in time'}"
    others = f"; and {len(open_rows) - MOST_NAMED} more" if len(open_rows) > MOST_NAMED else ""
    return f"not yet, {missing:,} more users needed in {where}: {'; '.join(open_rows[:MOST_NAMED]) or 'the next analysis decides'}{others}"


def _words(row: Row) -> str:
    """A metric's difference with its interval against its margin."""
    if row.estimate is None:
        return f"{row.metric} has no data to compare"
    unit = " of the stable release's" if row.relative else ""
    low, high = ("open" if end is None else f"{end:+.3g}" for end in (row.low, row.high))
    return f"{row.metric} {row.estimate:+.3g}{unit} [{low}, {high}], margin {row.limit:+.3g}"
