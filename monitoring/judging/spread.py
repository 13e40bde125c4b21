"""How far quiet windows lie from their forecasts, series by series.

T windows, S series.
"""

from dataclasses import dataclass

import numpy as np

TO_SPREAD = 1.2533  # of a normal: the standard deviation by the mean absolute one
CUT = 5 * 1.4826  # median absolute deviations, beyond which a deviation counts no more


@dataclass(frozen=True)
class Spread:
    """`whole_S`: the spread of each series, NaN where fewer than `least` deviations are known. `without_TS`: the same without the window's
    own deviation, which otherwise would be judged by a spread that it made itself."""

    whole_S: np.ndarray
    without_TS: np.ndarray

    @classmethod
    def of(cls, off_TS: np.ndarray, floor_S: np.ndarray, least: int) -> "Spread":
        """The mean absolute deviation, with outliers cut, as a standard deviation; `floor_S` or more."""
        off_TS = np.abs(off_TS)
        there_TS = np.isfinite(off_TS)
        count_S = there_TS.sum(axis=0)
        known_S = count_S >= least
        median_S = medians(off_TS)
        cut_TS = np.where(there_TS, np.minimum(off_TS, np.maximum(CUT * median_S, floor_S)), 0.0)
        total_S = cut_TS.sum(axis=0)
        whole_S = TO_SPREAD * total_S / np.maximum(count_S, 1)
        without_TS = TO_SPREAD * (total_S - cut_TS) / np.maximum(count_S - 1, 1)
        return cls(np.where(known_S, np.maximum(whole_S, floor_S), np.nan), np.where(known_S, np.maximum(without_TS, floor_S), np.nan))


def medians(values_TS: np.ndarray) -> np.ndarray:
    """(S,) the lower median of each series' values that are there; 0 where none is."""
    if not len(values_TS):
        return np.zeros(values_TS.shape[1])
    if not len(values_TS):
        return np.zeros(values_TS.shape[1])
    count_S = np.isfinite(values_TS).sum(axis=0)
    rising_TS = np.sort(np.where(np.isfinite(values_TS), values_TS, np.inf), axis=0)
    middle_S = rising_TS[np.maximum(count_S - 1, 0) // 2, np.arange(values_TS.shape[1])]
    return np.where(count_S > 0, middle_S, 0.0)
