"""One scale for all series: at a surprise of t, a quiet shop gets as far in any of its series once in 10^t windows.

T quiet windows, S series.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LN10 = math.log(10)
TAIL, FAR_TAIL = 0.1, 0.02  # the shares of a detector's deviations on which its tail's slope rests: the flatter of the two counts
PRIOR = 10.0  # deviations beyond the tail's beginning that the slope of all detectors together counts as
LEAST_SLOPE = 0.2  # in powers of ten; that of one series that is normal is about 0.4
DAYS_A_QUARTER = 365.25 / 4
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Tail:
    """Beyond `start`, the share of deviations past z falls as `TAIL` e^-((z - start) / slope): exponentially, slower than a normal's."""

    start: float
    slope: float

    def rarity(self, z: np.ndarray) -> np.ndarray:
        """-log10 of the share of this detector's deviations that lie as far, 0 or more; grows evenly with z, without an end."""
        far = np.abs(z)
        beyond = -math.log10(TAIL) + (far - self.start) / (self.slope * LN10)
        return np.asarray(np.where(far > self.start, beyond, -math.log10(TAIL) * far / max(self.start, 1e-9)))


def tails(z_TS: np.ndarray, names: Sequence[str]) -> dict[str, Tail]:
    """The tail of each detector's deviations, of all segments together. Few deviations lean on those of all detectors."""
    of = np.array(names)
    every = _tail(z_TS, None)
    return {name: _tail(z_TS[:, of == name], every) for name in dict.fromkeys(names)}


def _tail(z_TS: np.ndarray, every: Tail | None) -> Tail:
    z = np.abs(z_TS[np.isfinite(z_TS)])
    if not len(z):
        return every or Tail(1.645, 0.5)
    start = float(np.quantile(z, 1 - TAIL))
    prior, weight = (every.slope, PRIOR) if every else (0.0, 0.0)
    slopes = []
    for share in (TAIL, FAR_TAIL):
        beyond = z[z > np.quantile(z, 1 - share)]
        excess = beyond - np.quantile(z, 1 - share)
        slopes.append((prior * weight + excess.sum()) / max(weight + len(beyond), 1e-9))
    return Tail(start, max(*slopes, 1e-3))


@dataclass(frozen=True)
class Scale:
    """How far any series gets on a quiet window: the largest rarity of a window's series passes `middle` in half of the windows, and
    beyond it the share of windows falls by a factor of e each `slope`. `most_T` is that largest rarity, window by window."""

    tails: dict[str, Tail]
    middle: float
    slope: float
    most_T: np.ndarray

    @classmethod
    def of(cls, z_TS: np.ndarray, names: Sequence[str]) -> "Scale":
        """From the deviations of T quiet windows. Series of a shop go together, so what counts is how far any of them got on a window:
        a correction for their number that follows how many independent ones they are worth."""
        z_TS = z_TS[np.isfinite(z_TS).any(axis=1)]
        found = tails(z_TS, names)
        most_T = np.nanmax(_rarity(z_TS, names, found), axis=1)
        middle = float(np.median(most_T))
        beyond = most_T[most_T > middle] - middle
        return cls(found, middle, max(float(beyond.mean()) if len(beyond) else 0.0, LEAST_SLOPE), most_T)

    @property
    def num_windows(self) -> int:
        """Quiet windows that the scale rests on."""
        return len(self.most_T)

    def num_beyond(self, surprise: float) -> int:
        """On how many of them some series got as far."""
        return int((self._of_rarity(self.most_T) >= surprise).sum())

    def surprise(self, z_S: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """(S,) of each series; 0 or more, NaN where z is."""
        return self._of_rarity(_rarity(z_S[None], names, self.tails)[0])

    def of_parts(self, z_PS: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """(P, S) of each part of a window, for one series alone: at t, a quiet part lies as far on that side once in 10^t parts. 0 on the
        other side."""
        return np.where(np.isfinite(z_PS), np.where(z_PS > 0, _rarity(z_PS, names, self.tails), 0.0), np.nan)

    def _of_rarity(self, rarity: np.ndarray) -> np.ndarray:
        beyond = math.log10(2) + (rarity - self.middle) / (self.slope * LN10)
        below = math.log10(2) * rarity / max(self.middle, 1e-9)
        return np.asarray(np.where(rarity > self.middle, beyond, below))

    def rate(self, surprise: float) -> float:
        """Windows a quarter on which any series gets as far, as the fitted tail says."""
        return float(DAYS_A_QUARTER * 10**-surprise)

    def rate_upper(self, surprise: float) -> float:
        """The upper 95 % limit of `rate`: so few windows tell only roughly how many pass the middle, and the slope."""
        from scipy.stats import chi2

        num = max(self.num_windows // 2, 1)
        num_upper = float(chi2.ppf(CONFIDENCE, 2 * num + 2)) / 2
        slower = 2 * num / float(chi2.ppf(1 - CONFIDENCE, 2 * num))
        beyond = max(surprise - math.log10(2), 0.0)
        return DAYS_A_QUARTER * min(1.0, num_upper / self.num_windows * 10 ** (-beyond / slower))

    def threshold(self, budget: float) -> float:
        """The surprise at which the upper limit of the rate is within the budget, which is in windows a quarter."""
        from scipy.stats import chi2

        num = max(self.num_windows // 2, 1)
        slower = 2 * num / float(chi2.ppf(1 - CONFIDENCE, 2 * num))
        past_middle = DAYS_A_QUARTER * float(chi2.ppf(CONFIDENCE, 2 * num + 2)) / 2 / self.num_windows
        return math.log10(2) + max(slower * math.log10(past_middle / budget), 0.0)


def _rarity(z_TS: np.ndarray, names: Sequence[str], found: dict[str, Tail]) -> np.ndarray:
    of = np.array(names)
    rarity = np.full(z_TS.shape, np.nan)
    for name, tail in found.items():
        rarity[:, of == name] = np.where(np.isfinite(z_TS[:, of == name]), tail.rarity(z_TS[:, of == name]), np.nan)
    return rarity
