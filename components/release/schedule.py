"""Which looks put the boundaries to the test, and what the boundaries are there. Pure.

A look is an analysis once the smaller arm has grown by `growth` since the last one, and where it reaches the horizon; so there are some
tens of them, however often anybody looks. Looks in between decide nothing new. After the horizon harm alone is still looked for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from components.release.rules import JudgeConfig, Rung
from components.release.sequential import anytime, group_sequential, late, spent


class Kind(Enum):
    """What a look is for the boundaries. LATE: an analysis after the horizon."""

    ANALYSIS = 1
    LATE = 2
    BETWEEN = 3


@dataclass(frozen=True)
class Bound:
    """What a look has to reach, in standard errors: `pass_z` above the margin for a pass, `fail_z` below for a fail; infinite for neither.
    A look that is no analysis of its own passes only where the one before it did."""

    kind: Kind
    pass_z: float
    fail_z: float


@dataclass(frozen=True)
class Chances:
    """What may be spent on a rung: by each metric on harm that passes and on none that fails, and on a sound split that is called none."""

    pass_share: float
    fail_share: float
    mismatch_share: float

    def times(self, passed: float, failed: float, mismatched: float) -> "Chances":
        """A part of each."""
        return Chances(self.pass_share * passed, self.fail_share * failed, self.mismatch_share * mismatched)


def chances(group: str, weight_percent: int, cfg: JudgeConfig) -> Chances:
    """A rung's part of the error budgets.

    A pass takes every metric on every rung, so harm to one passes no more often than that one metric passes where it is harmed: each has
    the group's whole budget (an intersection-union test, Berger 1982). A fail takes any one: they divide the budget, rungs first.
    """
    share, each_rung = cfg.share_of(group), 1 / len(cfg.rungs)
    whole = Chances(cfg.budget.pass_share, cfg.budget.fail_share, cfg.budget.mismatch_share)
    return whole.times(share, share * each_rung / len(cfg.asked_at(weight_percent)), share * each_rung)


def kinds(users: Sequence[int], horizon: int | None, cfg: JudgeConfig) -> list[Kind]:
    """What each look is, by the smaller arm's users. Without a horizon every look is an analysis: those bounds cost nothing to ask."""
    found, last, is_late = [], 0, False
    for count in users:
        if horizon is None:
            found.append(Kind.ANALYSIS if count >= cfg.min_users else Kind.BETWEEN)
        elif count >= max(cfg.min_users, math.ceil(last * cfg.growth)) or (count >= horizon and not is_late):
            found.append(Kind.LATE if is_late else Kind.ANALYSIS)
            last, is_late = count, count >= horizon
        else:
            found.append(Kind.BETWEEN)
    return found


def bounds(users: Sequence[int], rung: Rung, chance: Chances, cfg: JudgeConfig) -> list[Bound]:
    """The boundaries of each look, in the order of time."""
    found, which = [], kinds(users, rung.horizon_users, cfg)
    tested = [count for count, kind in zip(users, which, strict=True) if kind is Kind.ANALYSIS]
    pairs, num_late, pass_z = iter(_tested(tested, rung.horizon_users, chance, cfg)), 0, math.inf
    for kind in which:
        fail_z = math.inf
        if kind is Kind.ANALYSIS:
            pass_z, fail_z = next(pairs)
        elif kind is Kind.LATE:
            num_late += 1
            fail_z = late(num_late, chance.fail_share * cfg.budget.late_share / 2)
        found.append(Bound(kind, pass_z, fail_z))
    return found


def _tested(users: Sequence[int], horizon: int | None, chance: Chances, cfg: JudgeConfig) -> list[tuple[float, float]]:
    now = in_time(chance, cfg)
    if horizon is None:
        return [(anytime(n, now.pass_share, cfg.focus_users), anytime(n, now.fail_share, cfg.focus_users)) for n in users]
    passes = group_sequential(users, horizon, now.pass_share, cfg.pass_power)
    fails = group_sequential(users, horizon, now.fail_share, cfg.fail_power)
    return list(zip(passes, fails, strict=True))


def in_time(chance: Chances, cfg: JudgeConfig) -> Chances:
    """What an attempt may spend until its horizon; the rest is for later: a rung that breaks while it is held, another attempt."""
    now = 1 - cfg.budget.late_share
    return chance.times(now, now, now)


def left(users: Sequence[int], rung: Rung, chance: Chances, cfg: JudgeConfig) -> Chances:
    """What an attempt at the rung, with these looks, leaves of its budgets to the next: a rung that was held and resumed counts anew."""
    which, now, after = kinds(users, rung.horizon_users, cfg), 1 - cfg.budget.late_share, cfg.budget.late_share
    most = max((count for count, kind in zip(users, which, strict=True) if kind is not Kind.BETWEEN), default=0)
    if most == 0 or rung.horizon_users is None:
        passed = failed = float(most > 0)
    else:
        passed, failed = (spent(most, rung.horizon_users, power) for power in (cfg.pass_power, cfg.fail_power))
    was_late = after / 2 if Kind.LATE in which else 0.0
    return chance.times(1 - now * passed, 1 - now * failed - was_late, after)
