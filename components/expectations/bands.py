"""Bands learnt from the past: where a number of the next snapshot lies when nothing broke.

Medians and median absolute deviations (Hampel 1974), so that one bad week among the past neither shifts a band nor widens it much.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.expectations.wording import number

MAD_TO_SIGMA = 1.4826  # of a normal distribution
LEAST = 1e-9  # stands for 0 where logarithms are taken


@dataclass(frozen=True)
class Band:
    """A number of this snapshot beside its past, oldest first. It passes within [low, high], None being no limit.

    `deviation` is 0 in the middle of the band and -1 or 1 at its ends.
    """

    name: str
    observed: float
    past: tuple[float, ...]
    low: float | None
    high: float | None
    deviation: float

    def __str__(self) -> str:
        low = "at most" if self.low is None else f"{number(self.low)} to"
        return f"{self.name}: {number(self.observed)} (learnt: {low} {number(self.high)})"


def middle_and_spread(values: np.ndarray) -> tuple[float, float]:
    """The median, and the robust standard deviation: 1.4826 times the median absolute deviation."""
    middle = float(np.median(values))
    return middle, MAD_TO_SIGMA * float(np.median(np.abs(values - middle)))


def ratio_band(name: str, observed: float, past: Sequence[float], factor: float, floor: float) -> Band:
    """A band for an amount above 0, learnt on a log scale; `floor` 0.5 allows at least from two thirds to one and a half."""
    middle, sigma = middle_and_spread(np.log(np.maximum(np.asarray(past, float), LEAST)))
    half = max(factor * sigma, math.log1p(floor))
    deviation = (math.log(max(observed, LEAST)) - middle) / half
    return Band(name, observed, tuple(past), math.exp(middle - half), math.exp(middle + half), deviation)


def share_band(name: str, observed: float, past: Sequence[float], factor: float, floor: float, least: float, num_rows: int) -> Band:
    """A band for a share of num_rows rows: never narrower than `floor` of the median, than `least`, or than chance makes so few rows."""
    middle, sigma = middle_and_spread(np.asarray(past, float))
    expected = (middle * num_rows + 1) / (num_rows + 2)
    by_chance = math.sqrt(expected * (1 - expected) / max(num_rows, 1))
    half = max(factor * sigma, floor * middle, least, factor * by_chance)
    return Band(name, observed, tuple(past), max(middle - half, 0.0), min(middle + half, 1.0), (observed - middle) / half)


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The total variation distance of two mixes, in [0, 1]: the share of one that would have to change to give the other."""
    return 0.5 * math.fsum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in sorted(one.keys() | other.keys()))


def mean_mix(mixes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean share of each name."""
    names = sorted({name for mix in mixes for name in mix})
    return {name: math.fsum(mix.get(name, 0.0) for mix in mixes) / len(mixes) for name in names}


def mix_band(name: str, observed: Mapping[str, float], past: Sequence[Mapping[str, float]], factor: float, floor: float) -> Band:
    """A limit for the distance to the past's mean mix: `factor` times the farthest that any past mix lies from the mean of the others."""
    left_out = tuple(distance(mix, mean_mix([*past[:place], *past[place + 1 :]])) for place, mix in enumerate(past))
    limit = min(max(factor * max(left_out), floor), 1.0)
    found = distance(observed, mean_mix(past))
    return Band(name, found, left_out, None, limit, found / limit)
