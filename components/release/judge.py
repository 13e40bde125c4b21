"""The judge: does the candidate harm its users? A verdict from counts alone; the same counts and config give the same verdict, always.

    judge(past, look, cfg) -> Judgement

weigh() and decided() do the deciding, for many strata at once, so what the simulation measures (tests/bench_ladders.py) is what decides.
Shapes: B = looks of one stratum (or simulated ladders), M = metrics.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.release import contrast, mismatch
from components.release.evidence import Look
from components.release.findings import Hearing, limits_of, needed, reason, rows
from components.release.judgement import Judgement, Ratio, Row, Verdict, rounded
from components.release.ratio import Counted, Floats, counted, moments_of
from components.release.rules import JudgeConfig, Metric
from components.release.schedule import Bound, Chances, Kind, bounds, chances, in_time, left

__all__ = ["Judgement", "Ratio", "Row", "Verdict", "decided", "judge", "weigh"]

Bools = npt.NDArray[np.bool_]
HALF = 50


@dataclass(frozen=True)
class Weighed:
    """(B, M): how many standard errors better than its margin, and than what makes it fail, a metric is. NaN without data."""

    margin_z_BM: Floats
    fail_z_BM: Floats


def weigh(stable: Counted, canary: Counted, asked: Iterable[Metric], group: str) -> Weighed:
    """How far each metric is on the better side of its margin, and of the line at which it fails: a guardrail's margin, and for a success
    metric no difference at all."""
    metrics = list(asked)
    better_M = np.array([1.0 if metric.better == "higher" else -1.0 for metric in metrics])
    is_relative_M = np.array([metric.relative for metric in metrics])
    limit_M = limits_of(metrics, group)
    fail_limit_M = np.where([metric.kind == "guardrail" for metric in metrics], limit_M, 0.0)

    def ahead_of(line_M: Floats) -> Floats:
        offset_M, slope_M = np.where(is_relative_M, 0.0, line_M), np.where(is_relative_M, 1.0 + line_M, 1.0)
        return np.asarray(better_M * contrast.signed_root(stable, canary, offset_M, slope_M))

    return Weighed(ahead_of(limit_M), ahead_of(fail_limit_M))


def decided(weighed: Weighed, pass_z_B: npt.ArrayLike, fail_z_B: npt.ArrayLike) -> tuple[Bools, Bools]:
    """(B, M) and (B, M): the metrics shown not worse than their margins, and those shown to fail. One without data is neither."""
    pass_z_B1, fail_z_B1 = (np.asarray(z, dtype=np.float64).reshape(-1, 1) for z in (pass_z_B, fail_z_B))
    return weighed.margin_z_BM >= pass_z_B1, weighed.fail_z_BM <= -fail_z_B1


def judge(past: Sequence[Look], look: Look, cfg: JudgeConfig) -> Judgement:
    """The verdict on a stratum (a group of platforms on a rung) at `look`, given the looks before it. Other strata in `past` and what is
    not older than the look are left out, and the order is of no account. Raises BadParams where the config knows no such group or rung."""
    rung, asked = cfg.rung(look.weight_percent), cfg.asked_at(look.weight_percent)
    before = sorted((one for one in past if _place(one) == _place(look) and one.at < look.at), key=lambda one: (one.at, _smaller_arm(one)))
    seen = [*(one for one in before if one.since == look.since), look]
    users = [_smaller_arm(one) for one in seen]
    chance = _chances(before, look, cfg)
    plan = bounds(users, rung, chance, cfg)
    heard = _hear(seen, plan, asked, cfg)
    ratio = _ratio(seen, in_time(chance, cfg).mismatch_share, cfg)
    is_over = rung.horizon_users is not None and users[-1] >= rung.horizon_users
    verdict = _verdict(heard, ratio, is_over=is_over)
    found = rows(heard, plan[-1], users, rung.horizon_users, asked, look)
    missing = needed(found, users, plan, rung.horizon_users, cfg) if verdict is Verdict.NOT_YET else 0
    return Judgement(
        group=look.group,
        weight_percent=look.weight_percent,
        verdict=verdict,
        reason=reason(verdict, found, ratio, look, users[-1], missing),
        num_users=users[-1],
        horizon_users=rung.horizon_users,
        users_needed=missing,
        num_analyses=sum(bound.kind is not Kind.BETWEEN for bound in plan),
        is_analysis=plan[-1].kind is not Kind.BETWEEN,
        rows=found,
        ratio=ratio,
    )


def _place(look: Look) -> tuple[str, int]:
    return look.group, look.weight_percent


def _smaller_arm(look: Look) -> int:
    """Users of the arm that is the smaller by design; which one came out smaller would be a matter of chance at 50 %."""
    return look.users.get("canary" if look.weight_percent <= HALF else "stable", 0)


def _chances(before: Sequence[Look], look: Look, cfg: JudgeConfig) -> Chances:
    """What earlier attempts at the rung have left of its budgets."""
    rung, chance = cfg.rung(look.weight_percent), chances(look.group, look.weight_percent, cfg)
    for since in sorted({one.since for one in before} - {look.since}):
        chance = left([_smaller_arm(one) for one in before if one.since == since], rung, chance, cfg)
    return chance


def _hear(seen: Sequence[Look], plan: Sequence[Bound], asked: Mapping[str, Metric], cfg: JudgeConfig) -> Hearing:
    """Every analysis again, and the look itself: a fail once shown stays; a pass has to be shown by each analysis and not be lost since."""
    tried = [k for k, bound in enumerate(plan) if bound.kind is not Kind.BETWEEN or k == len(plan) - 1]
    moments_BMAS = moments_of([seen[k] for k in tried], list(asked))
    stable, canary = (counted(moments_BMAS[:, :, arm], cfg.prior_users) for arm in (0, 1))
    weighed = weigh(stable, canary, asked.values(), seen[-1].group)
    passed_BM, failed_BM = decided(weighed, [plan[k].pass_z for k in tried], [plan[k].fail_z for k in tried])
    stands = False
    for k, passed_M in zip(tried, passed_BM, strict=True):
        stands = bool(passed_M.all()) and (stands or plan[k].kind is Kind.ANALYSIS)
    last = (stable.last(), canary.last())
    return Hearing(*last, weighed.margin_z_BM[-1], weighed.fail_z_BM[-1], passed_BM[-1], np.asarray(failed_BM.any(axis=0)), stands)


def _ratio(seen: Sequence[Look], budget: float, cfg: JudgeConfig) -> Ratio:
    """The split of users as it is, and the strongest evidence against it so far."""
    stable, canary = ([one.users.get(arm, 0) for one in seen] for arm in ("stable", "canary"))
    expected, counts = seen[-1].weight_percent / 100, stable[-1] + canary[-1]
    strongest = float(mismatch.evidence(stable, canary, expected, cfg.ratio_users).max())
    share = canary[-1] / counts if counts else None
    return Ratio(expected, rounded(share), rounded(strongest) or 0.0, rounded(mismatch.limit(budget)) or 0.0)


def _verdict(heard: Hearing, ratio: Ratio, *, is_over: bool) -> Verdict:
    if ratio.evidence >= ratio.limit:
        return Verdict.MISMATCH
    if heard.failed_M.any():
        return Verdict.FAIL
    if heard.stands:
        return Verdict.PASS
    return Verdict.HOLD if is_over else Verdict.NOT_YET
