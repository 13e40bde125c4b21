"""Rules that judge a rung's counts: the judge of components/release, in a batch, and what others use instead.

B = ladders, M = metrics, L = looks.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from components.release import mismatch
from components.release.judge import decided, weigh
from components.release.ratio import Counted, counted
from components.release.rules import JudgeConfig, Metric, Rung
from components.release.schedule import Bound, Kind, bounds, chances, in_time
from tests.ladder_draws import Drawn

HOLD, PASS, FAIL, MISMATCH = range(4)
WINDOW = 500


@dataclass(frozen=True)
class Ended:
    """(B,): how a rung ended, and with how many users of the smaller arm."""

    outcome_B: np.ndarray
    users_B: np.ndarray


Rule = Callable[[Drawn, str, Rung, JudgeConfig], Ended]
Tested = tuple[np.ndarray, np.ndarray]


def climb(drawn: Drawn, tested: Callable[[int], Tested], stopped_LB: np.ndarray | None = None) -> Ended:
    """Look after look until one decides. `tested` says of a look which metrics pass and which fail; a stop comes before a fail, a fail
    before a pass."""
    num_looks, num = drawn.stable_LB.shape
    outcome_B, look_B = np.full(num, HOLD), np.full(num, num_looks - 1)
    for k in range(num_looks):
        passed_BM, failed_BM = tested(k)
        now_B = np.where(failed_BM.any(axis=1), FAIL, np.where(passed_BM.all(axis=1), PASS, HOLD))
        if stopped_LB is not None:
            now_B = np.where(stopped_LB[k], MISMATCH, now_B)
        is_new_B = (outcome_B == HOLD) & (now_B != HOLD)
        outcome_B[is_new_B], look_B[is_new_B] = now_B[is_new_B], k
    return Ended(outcome_B, np.array(drawn.users_L)[look_B])


def arms(moments_BMAS: np.ndarray, cfg: JudgeConfig) -> tuple[Counted, Counted]:
    """Both arms as the judge sees them."""
    return counted(moments_BMAS[:, :, 0], cfg.prior_users), counted(moments_BMAS[:, :, 1], cfg.prior_users)


def pages_alone(moments_BMAS: np.ndarray, cfg: JudgeConfig) -> tuple[Counted, Counted]:
    """Both arms where every page is taken for a user of its own."""
    stable, canary = (Counted(m[..., 1] / m[..., 2], m[..., 1], m[..., 2]) for m in np.moveaxis(moments_BMAS, 2, 0))
    return stable, canary


def judged(
    plan: list[Bound], drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig, seen: Callable[..., tuple[Counted, Counted]]
) -> Ended:
    """The judge's own deciding, over the boundaries of `plan`."""
    asked = cfg.asked_at(rung.weight_percent)
    assert all(bound.kind is Kind.ANALYSIS for bound in plan)

    def tested(k: int) -> Tested:
        weighed = weigh(*seen(drawn.moments_LBMAS[k], cfg), asked.values(), group)
        return decided(weighed, plan[k].pass_z, plan[k].fail_z)

    canary_L1 = np.array(drawn.users_L)[:, None]
    odds_LB = mismatch.evidence(drawn.stable_LB, canary_L1, rung.weight_percent / 100, cfg.ratio_users)
    budget = in_time(chances(group, rung.weight_percent, cfg), cfg).mismatch_share
    return climb(drawn, tested, np.maximum.accumulate(odds_LB) >= mismatch.limit(budget))


def judge_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig) -> Ended:
    """The judge as it is."""
    chance = chances(group, rung.weight_percent, cfg)
    return judged(bounds(drawn.users_L, rung, chance, cfg), drawn, group, rung, cfg, arms)


def anytime_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig) -> Ended:
    """The judge where no horizon is known; what has no verdict when the draws end would go on."""
    chance, endless = chances(group, rung.weight_percent, cfg), Rung(weight_percent=rung.weight_percent, horizon_users=None)
    return judged(bounds(drawn.users_L, endless, chance, cfg), drawn, group, rung, cfg, arms)


def pages_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig) -> Ended:
    """The judge with the page as its unit: what per-user variance is for."""
    chance = chances(group, rung.weight_percent, cfg)
    return judged(bounds(drawn.users_L, rung, chance, cfg), drawn, group, rung, cfg, pages_alone)


def wald(moments_BMAS: np.ndarray, limit_M: np.ndarray, metrics: list[Metric]) -> np.ndarray:
    """(B, M) the plain z, from the users' variance as it came out: how much better than the limit."""
    _, x, y, xx, xy, yy = np.moveaxis(moments_BMAS, -1, 0)
    better_M = np.array([1.0 if metric.better == "higher" else -1.0 for metric in metrics])
    is_relative_M = np.array([metric.relative for metric in metrics])
    with np.errstate(all="ignore"):
        value = x / y
        variance = np.maximum(xx - 2 * value * xy + value**2 * yy, 0) / y**2
        slope_M = np.where(is_relative_M, 1 + limit_M, 1.0)
        ahead = value[..., 1] - slope_M * value[..., 0] - np.where(is_relative_M, 0.0, limit_M)
        return np.asarray(better_M * ahead / np.sqrt(variance[..., 1] + slope_M**2 * variance[..., 0]))


def plain_z(moments_BMAS: np.ndarray, group: str, asked: Mapping[str, Metric]) -> Tested:
    """The plain z of each metric against its margin, and against what makes it fail."""
    metrics = list(asked.values())
    limit_M = np.array([(1 if metric.better == "lower" else -1) * metric.margin_in(group) for metric in metrics])
    fail_M = np.where([metric.kind == "guardrail" for metric in metrics], limit_M, 0.0)
    return wald(moments_BMAS, limit_M, metrics), wald(moments_BMAS, fail_M, metrics)


def windowed(drawn: Drawn) -> Drawn:
    """Only looks that have WINDOW users since the last one, and the last of all: with fewer the rivals of the judge err far more."""
    kept: list[int] = []
    for k, users in enumerate(drawn.users_L):
        if users - (drawn.users_L[kept[-1]] if kept else 0) >= WINDOW or k == len(drawn.users_L) - 1:
            kept.append(k)
    return Drawn([drawn.users_L[k] for k in kept], drawn.stable_LB[kept], drawn.moments_LBMAS[kept])


def z_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig, bound: Callable[[int], tuple[float, float]]) -> Ended:
    """Plain z against a bound for each look."""
    asked, drawn = cfg.asked_at(rung.weight_percent), windowed(drawn)

    def tested(k: int) -> Tested:
        (margin_z, fail_z), (pass_z, worse_z) = plain_z(drawn.moments_LBMAS[k], group, asked), bound(drawn.users_L[k])
        return margin_z >= pass_z, fail_z <= -worse_z

    return climb(drawn, tested)


def peeked_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig) -> Ended:
    """A z-test at 2.5 %, at every look, on every metric."""
    return z_rule(drawn, group, rung, cfg, lambda users: (1.96, 1.96))


def fixed_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig) -> Ended:
    """One z-test at the horizon, budgets divided as the judge's are."""
    chance, last = chances(group, rung.weight_percent, cfg), drawn.users_L[-1]
    once = (normal_tail(chance.pass_share), normal_tail(chance.fail_share))
    return z_rule(drawn, group, rung, cfg, lambda users: once if users == last else (math.inf, math.inf))


def msprt_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig) -> Ended:
    """A mixture SPRT (Johari et al. 2017) on the plain z, two-sided normal mixture, budgets divided as the judge's are."""
    chance = chances(group, rung.weight_percent, cfg)
    spans = (chance.pass_share, chance.fail_share)
    return z_rule(drawn, group, rung, cfg, lambda users: (mixture_z(users, spans[0], cfg), mixture_z(users, spans[1], cfg)))


def mixture_z(users: int, budget: float, cfg: JudgeConfig) -> float:
    """Where the likelihood ratio of a normal mixture, as wide as a standard error at focus_users / 10, reaches 1 / budget."""
    wide = 1 + 10 * users / cfg.focus_users
    return math.sqrt(2 * wide / (wide - 1) * (math.log(1 / budget) + math.log(wide) / 2))


def strikes_rule(drawn: Drawn, group: str, rung: Rung, cfg: JudgeConfig) -> Ended:
    """A threshold on what came in since the last look: the third time that a metric is worse by more than its margin fails; who gets to the
    horizon passes."""
    asked, drawn = cfg.asked_at(rung.weight_percent), windowed(drawn)
    since = np.diff(drawn.moments_LBMAS, axis=0, prepend=0.0)
    is_worse = np.stack([plain_sign(moments, group, asked) < 0 for moments in since])
    num_strikes, last = is_worse.cumsum(axis=0), len(drawn.users_L) - 1
    return climb(drawn, lambda k: (np.full(is_worse.shape[1:], k == last), num_strikes[k] >= 3))


def plain_sign(moments_BMAS: np.ndarray, group: str, asked: Mapping[str, Metric]) -> np.ndarray:
    """(B, M) on which side of its margin the value itself is; 0 without data."""
    return np.nan_to_num(np.sign(plain_z(moments_BMAS, group, asked)[0]))


def normal_tail(chance: float) -> float:
    """The z that a standard normal is above with that chance."""
    return float(-ndtri(chance))


RULES: dict[str, Rule] = {
    "judge": judge_rule,
    "judge, no horizon": anytime_rule,
    "judge, page as unit": pages_rule,
    "peeked z-test": peeked_rule,
    "three strikes": strikes_rule,
    "fixed horizon": fixed_rule,
    "mixture SPRT": msprt_rule,
}
