"""How far each series of a window lies from its forecast, and how far it lay on quiet windows before.

T quiet windows before, L = 1 + P looks, K measured series, S judged ones.
"""

from dataclasses import dataclass

import numpy as np

from monitoring.detectors.registry import DETECTORS
from monitoring.judging.config import FollowConfig, VerdictConfig
from monitoring.judging.forecast import Windows, forecasts, from_start
from monitoring.judging.past import Key, Past, Stack, Values, season_of
from monitoring.judging.spread import Spread
from monitoring.judging.steps import PROFILE, STEPS

LEAST_SPREAD = 0.1  # of the least effect: so that a series that never moves is not surprised by a rounding


@dataclass(frozen=True)
class Deviations:
    """S series. `value_S`, `expected_S` and `spread_S` are in the series' own unit. `z_S` is how many spreads the value lies off, `z_TS`
    the same of quiet windows before, `z_PS` of the window's parts against the same parts of windows before, positive where a part lies
    off to the same side as the whole. NaN where there is too little history, and in `z_TS` where there was."""

    keys: tuple[Key, ...]
    value_S: np.ndarray
    expected_S: np.ndarray
    spread_S: np.ndarray
    z_S: np.ndarray
    z_TS: np.ndarray
    z_PS: np.ndarray

    def where(self, here_S: np.ndarray) -> "Deviations":
        """The series marked."""
        columns = (self.value_S, self.expected_S, self.spread_S, self.z_S, self.z_TS, self.z_PS)
        return Deviations(tuple(key for key, here in zip(self.keys, here_S, strict=True) if here), *(one[..., here_S] for one in columns))

    def __add__(self, other: "Deviations") -> "Deviations":
        mine, its = (tuple(vars(side).values())[1:] for side in (self, other))
        return Deviations(self.keys + other.keys, *(np.concatenate(pair, axis=-1) for pair in zip(mine, its, strict=True)))


@dataclass(frozen=True)
class Offs:
    """K measured series: the window's values and forecasts, how far it lies off in every look (L, K), and how far T quiet windows before
    lay off theirs (T, L, K); `spread_LK` is how far is usual, `without_TLK` the same without the window's own."""

    keys: tuple[Key, ...]
    value_K: np.ndarray
    expected_K: np.ndarray
    off_LK: np.ndarray
    off_TLK: np.ndarray
    spread_LK: np.ndarray
    without_TLK: np.ndarray

    @classmethod
    def of(cls, now: Values, past: Past, follow: FollowConfig, cfg: VerdictConfig) -> "Offs":
        """Against forecasts that rest on earlier windows alone, of the last `num_windows` quiet ones."""
        stack = Stack.of(past, now)
        shape = stack.value_TLK.shape[1:]
        flat_TS = stack.value_TLK.reshape(len(stack.value_TLK), -1).astype(np.float64)
        floor_S = np.tile([_floor(key, cfg) for key in stack.keys], shape[0])
        seasons = np.array([season_of(span) for span in (*(window.span for window in past.windows), now.span)])
        windows = Windows(seasons, np.append(past.quiet, False), past.anew)
        expected_TS = forecasts(flat_TS, floor_S, windows, follow)
        if follow.from_start:
            expected_TS[-1] = from_start(flat_TS, windows, follow.level_windows)
        off_TS = flat_TS - expected_TS
        rows = np.flatnonzero(past.quiet & np.isfinite(off_TS[:-1]).any(axis=1))[-follow.num_windows :]
        spread = Spread.of(off_TS[rows], floor_S, follow.least_windows)
        return cls(
            stack.keys,
            stack.value_TLK[-1, 0].astype(np.float64),
            expected_TS[-1].reshape(shape)[0],
            off_TS[-1].reshape(shape),
            off_TS[rows].reshape(-1, *shape),
            spread.whole_S.reshape(shape),
            spread.without_TS.reshape(-1, *shape),
        )

    @property
    def num_windows(self) -> int:
        """Quiet windows that have a forecast."""
        return len(self.off_TLK)


def _floor(key: Key, cfg: VerdictConfig) -> float:
    name, segment = key
    return LEAST_SPREAD * cfg.effect_of(name if name in DETECTORS or name in STEPS else PROFILE, segment)
