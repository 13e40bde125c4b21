"""Boundaries that may be looked at many times. Pure.

Group-sequential, where it is known how many users there will be at most: Lan and DeMets (1983) spend the budget as users come, and the
recursion of Armitage, McPherson and Rowe (1969) finds the boundary of each analysis from those before. Without such a number: the one-sided
asymptotic confidence sequence of Waudby-Smith et al. (2024), which holds at every time.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from components.release.ratio import Floats

NUM_NODES = 256
FARTHEST_Z = 8.0
LEAST_STEP = 1e-3
NUM_HALVINGS = 60


def spent(users: int, horizon: int, power: float) -> float:
    """The share of a budget, 0 to 1, that analyses up to so many users may use: (users / horizon) ** power (Kim and DeMets 1987)."""
    return float(min(users / horizon, 1.0) ** power)


def group_sequential(users: Sequence[int], horizon: int, budget: float, power: float) -> tuple[float, ...]:
    """For each analysis the z, in standard errors, that it has to reach: the chance that a z of mean 0 ever does is at most `budget`.

    `users`, which rise, are both the clock of the spending and the information of the analyses. They are known beforehand and equal for all
    metrics, where a metric's own variance is known only after it was seen. Raises ValueError where they do not rise.
    """
    if any(low >= high for low, high in zip((0, *users), users, strict=False)):
        raise ValueError(f"the users of analyses rise from 1; found {list(users)}")
    return tuple(_stage(tuple(users[: k + 1]), horizon, budget, power).bound for k in range(len(users)))


@dataclass(frozen=True)
class _Stage:
    """An analysis: its bound, and how likely, at `node_N` (z times the root of its users), the walk is there without having crossed one."""

    bound: float
    node_N: Floats
    mass_N: Floats


@functools.lru_cache(maxsize=4096)
def _stage(users: tuple[int, ...], horizon: int, budget: float, power: float) -> _Stage:
    now, before = users[-1], users[-2] if len(users) > 1 else 0
    may_cross = budget * (spent(now, horizon, power) - spent(before, horizon, power))
    if not before:
        bound = float(-ndtri(may_cross)) if may_cross > 0 else math.inf
        z_N, weight_N = _nodes(bound)
        return _Stage(bound, z_N * math.sqrt(now), weight_N * _normal(z_N))
    last = _stage(users[:-1], horizon, budget, power)
    # two analyses at almost the same users need a finer grid than ours; taken for a little less alike, the bound is a little higher
    step = math.sqrt(max(now - before, LEAST_STEP * now))
    bound = _bound(last, math.sqrt(now), step, may_cross)
    z_N, weight_N = _nodes(bound)
    move_NN = (z_N[:, None] * math.sqrt(now) - last.node_N[None, :]) / step
    return _Stage(bound, z_N * math.sqrt(now), weight_N * (_normal(move_NN) @ last.mass_N) * math.sqrt(now) / step)


def _bound(last: _Stage, root_users: float, step: float, may_cross: float) -> float:
    """The z that the walk crosses now with that chance, not having crossed before."""
    if may_cross <= 0:
        return math.inf
    low, high = -FARTHEST_Z, 5 * FARTHEST_Z
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        chance = float(ndtr((last.node_N - middle * root_users) / step) @ last.mass_N)
        low, high = (middle, high) if chance > may_cross else (low, middle)
    return high


def _nodes(bound: float) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss and Legendre between far below and the bound."""
    node_N, weight_N = _legendre()
    half = (min(bound, FARTHEST_Z) + FARTHEST_Z) / 2
    return half * (node_N + 1) - FARTHEST_Z, half * weight_N


@functools.cache
def _legendre() -> tuple[Floats, Floats]:
    node_N, weight_N = np.polynomial.legendre.leggauss(NUM_NODES)
    return node_N, weight_N


def _normal(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))


def anytime(users: int, budget: float, focus_users: int) -> float:
    """The z that no look at a mean of 0 ever reaches but with chance `budget`, however many looks there are and whenever they end.

    It is lowest, as things go, near `focus_users`, and holds as the central limit theorem does: not for the first few users.
    """
    log_budget = -2 * math.log(budget)
    spread = users * (log_budget + math.log(log_budget + 1)) / focus_users
    return math.sqrt((spread + 1) / spread * 2 * math.log1p(math.sqrt(spread + 1) / (2 * budget)))


def late(nth: int, budget: float) -> float:
    """The z that analysis `nth` (from 1) after the horizon has to reach: that any of them does by chance is at most `budget`."""
    return float(-ndtri(budget * 6 / (math.pi * nth) ** 2))
