"""Simulated counts: what users do, and what the arms of a rung have counted of it at each look.

L = looks, B = ladders, M = metrics, C = kinds of users. A look is taken whenever the canary (the smaller arm) has a given number of users,
as often as the judge can make use of one; the stable arm has by then as many as chance gives it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import betabinom

from components.release.rules import JudgeConfig, Metric, Rung


@dataclass(frozen=True)
class Habit:
    """How a metric comes about: its value in the stable arm, the correlation of one user's own (over-dispersion), and chances a page."""

    rate: float
    correlation: float
    per_page: int = 1


@dataclass(frozen=True)
class World:
    """Users: how many pages they see, with what probability, and their habits by metric."""

    pages: Mapping[int, float]
    habits: Mapping[str, Habit]

    def kinds(self, metric: str, rate: float) -> tuple[np.ndarray, np.ndarray]:
        """(C, 6) what a user of each kind adds to a Sample, and (C,) how likely the kind is."""
        habit, found, chance = self.habits[metric], [], []
        a, b = (part * (1 / habit.correlation - 1) for part in (rate, 1 - rate)) if habit.correlation else (0.0, 0.0)
        for num_pages, share in self.pages.items():
            y = num_pages * habit.per_page
            x = np.arange(y + 1)
            of_x = betabinom.pmf(x, y, a, b) if a * b > 0 else (x == rate * y).astype(float)
            found.append(np.stack([np.ones(y + 1), x, np.full(y + 1, y), x * x, x * y, np.full(y + 1, y * y)], axis=1))
            chance.append(share * of_x)
        likely = np.concatenate(chance)
        return np.concatenate(found).astype(float), likely / likely.sum()


HABITS = {
    "error_share": Habit(0.001, 0.3),
    "slow_share": Habit(0.01, 0.2),
    "empty_share": Habit(0.01, 0.2),
    "score_shift": Habit(0.10, 0.1, per_page=2),
    "seller_share": Habit(0.80, 0.1, per_page=2),
    "tap_rate": Habit(0.03, 0.1),
    "purchase_rate": Habit(0.006, 0.1),
}
SEVERAL_PAGES = World({1: 0.4, 2: 0.25, 4: 0.2, 8: 0.15}, HABITS)
ONE_PAGE = World({1: 1.0}, HABITS)
UNLIKE = World({1: 0.5, 3: 0.3, 12: 0.2}, {name: replace(habit, correlation=0.4) for name, habit in HABITS.items()})


@dataclass(frozen=True)
class Scenario:
    """The canary's values by group and metric, where they are not the stable release's."""

    name: str
    canary: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    world: World = SEVERAL_PAGES


@dataclass(frozen=True)
class Drawn:
    """A rung of one group: what every ladder counted at each look. moments_LBMAS is cumulative."""

    users_L: list[int]
    stable_LB: np.ndarray
    moments_LBMAS: np.ndarray


def looks_of(rung: Rung, cfg: JudgeConfig) -> list[int]:
    """Users of the canary at each look: as many analyses as the judge would make."""
    horizon, found = rung.horizon_users or 0, [cfg.min_users]
    while found[-1] < horizon:
        found.append(min(horizon, math.ceil(found[-1] * cfg.growth)))
    return found


def draw(
    scenario: Scenario, group: str, rung: Rung, asked: Mapping[str, Metric], num: int, cfg: JudgeConfig, rng: np.random.Generator
) -> Drawn:
    """A rung for `num` ladders; users arrive at random, `weight_percent` of them in the canary."""
    users_L = looks_of(rung, cfg)
    canary_LB = np.repeat(np.diff(users_L, prepend=0)[:, None], num, axis=1)
    stable_LB = rng.negative_binomial(canary_LB, rung.weight_percent / 100)
    moments = np.zeros((len(users_L), num, len(asked), 2, 6))
    for m, name in enumerate(asked):
        stable = scenario.world.habits[name].rate
        for arm, (rate, users_LB) in enumerate([(stable, stable_LB), (scenario.canary.get(group, {}).get(name, stable), canary_LB)]):
            kind_CS, chance_C = scenario.world.kinds(name, rate)
            moments[:, :, m, arm] = rng.multinomial(users_LB, chance_C) @ kind_CS
    return Drawn(users_L, stable_LB.cumsum(axis=0), moments.cumsum(axis=0))


def draw_returning(
    rates: tuple[float, float], correlation: float, users_L: Sequence[int], num: int, rng: np.random.Generator
) -> np.ndarray:
    """(L, B, 1, 2, 6) moments of one metric where users come back, so that what is known grows faster than the number of users: a page on
    arrival, and then some for as long as the arm grows, ten for the first user. Both arms have `users_L`; `rates`: stable, canary."""
    found, arrival_U = np.zeros((len(users_L), num, 1, 2, 6)), np.arange(users_L[-1])
    for b in range(num):
        for arm, rate in enumerate(rates):
            chance_U = rng.beta(rate * (1 / correlation - 1), (1 - rate) * (1 / correlation - 1), size=users_L[-1])
            x_U, y_U, before = np.zeros(users_L[-1]), np.zeros(users_L[-1]), 0
            for k, users in enumerate(users_L):
                stayed_U = np.clip(users - np.maximum(arrival_U, before), 0, None) / users_L[-1]
                new_U = rng.poisson(10 * stayed_U) + ((arrival_U >= before) & (arrival_U < users))
                x_U, y_U, before = x_U + rng.binomial(new_U, chance_U), y_U + new_U, users
                found[k, b, 0, arm] = users, x_U.sum(), y_U.sum(), x_U @ x_U, x_U @ y_U, y_U @ y_U
    return found
