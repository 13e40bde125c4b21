"""What recent quiet windows lead one to expect of the next, for many series at once. A forecast uses windows before its own alone.

T windows, oldest first, S series.
"""

from dataclasses import dataclass

import numpy as np

from monitoring.judging.config import FollowConfig

NUM_SEASONS = 7
SETTLED = 4  # windows after which a level is good enough for weekdays to be measured by it
SPREAD_GAIN = 0.03  # how fast the running spread, by which outliers are cut, follows
FAR, FARTHER = 3.0, 5.0  # running spreads beyond which a deviation moves the level, and the running spread, no more


@dataclass(frozen=True)
class Windows:
    """What is known of T windows beside their values: `season` (T,) below NUM_SEASONS, such as the weekday; `quiet` (T,), others teach
    nothing; `anew` (T,) windows from which on the level is learnt anew, since another release answers or a shift was accepted."""

    season: np.ndarray
    quiet: np.ndarray
    anew: np.ndarray


def forecasts(values_TS: np.ndarray, floor_S: np.ndarray, windows: Windows, cfg: FollowConfig) -> np.ndarray:
    """(T, S) what is expected of each value from those before it: a level that follows, and the weekday. NaN where the level has not seen
    `level_windows` values yet.

    The level is an exponential mean whose half-life is `half_life` windows, robust (Gelper, Fried and Croux 2010): what lies far off moves
    it no more than what lies at three spreads, of `floor_S` (S,) or more. A weekday's effect is shrunk to none while it may be chance.
    """
    state = _State.of(floor_S, cfg)
    found = np.full(values_TS.shape, np.nan)
    for t, value_S in enumerate(values_TS.astype(np.float64)):
        season = int(windows.season[t])
        if windows.anew[t]:
            state.forget()
        found[t] = np.where(state.seen_S >= cfg.level_windows, state.level_S + state.effect(season), np.nan)
        if windows.quiet[t]:
            state.learn(value_S, season)
    return found


def from_start(values_TS: np.ndarray, windows: Windows, num: int) -> np.ndarray:
    """(S,) the mean of the first `num` quiet windows since levels were learnt anew; NaN where there are fewer values."""
    begin = int(np.flatnonzero(windows.anew)[-1]) if windows.anew.any() else 0
    first = begin + np.flatnonzero(windows.quiet[begin:])[:num]
    there_S = np.isfinite(values_TS[first]).sum(axis=0) >= num
    return np.where(there_S, np.nan_to_num(values_TS[first]).sum(axis=0) / num, np.nan)


@dataclass
class _State:
    """What the series have taught so far: levels, running spreads, effects of weekdays, and how many values each rests on."""

    gain: float
    floor_S: np.ndarray
    level_S: np.ndarray
    spread_S: np.ndarray
    seen_S: np.ndarray
    season_WS: np.ndarray
    seen_WS: np.ndarray

    @classmethod
    def of(cls, floor_S: np.ndarray, cfg: FollowConfig) -> "_State":
        num, gain = len(floor_S), 1 - 0.5 ** (1 / cfg.half_life)
        none, seasons = np.full(num, np.nan), np.zeros((NUM_SEASONS, num))
        return cls(gain, floor_S, none, none.copy(), np.zeros(num), seasons, seasons.copy())

    def effect(self, season: int) -> np.ndarray:
        """The weekday's mean deviation, shrunk by how much of what weekdays differ in is chance (James and Stein 1961)."""
        chance_WS = np.nan_to_num(self.spread_S) ** 2 / np.maximum(self.seen_WS, 1)
        real_S = np.maximum((self.season_WS**2 - chance_WS).mean(axis=0), 0.0)
        kept_S = np.divide(real_S, real_S + chance_WS[season], out=np.zeros_like(real_S), where=real_S > 0)
        return np.asarray(self.season_WS[season] * kept_S)

    def forget(self) -> None:
        """Levels begin anew; spreads and weekdays stay."""
        self.level_S, self.seen_S = np.full_like(self.level_S, np.nan), np.zeros_like(self.seen_S)

    def learn(self, value_S: np.ndarray, season: int) -> None:
        there_S = np.isfinite(value_S)
        first_S = there_S & ~np.isfinite(self.level_S)
        went_S = there_S & ~first_S
        off_S = np.where(went_S, value_S - self.level_S - self.effect(season), 0.0)
        limit_S = FAR * np.where(np.isfinite(self.spread_S), np.maximum(self.spread_S, self.floor_S), np.inf)
        step_S = np.maximum(self.gain, 1 / (self.seen_S + 1)) * np.clip(off_S, -limit_S, limit_S)
        self._learn_season(np.clip(off_S + self.effect(season), -limit_S, limit_S), went_S & (self.seen_S >= SETTLED), season)
        self._learn_spread(np.abs(off_S), went_S)
        self.level_S = np.where(first_S, value_S, self.level_S + step_S)
        self.seen_S = self.seen_S + there_S

    def _learn_season(self, off_S: np.ndarray, went_S: np.ndarray, season: int) -> None:
        gain_S = np.maximum(1 / 12, 1 / (self.seen_WS[season] + 1))
        self.season_WS[season] += np.where(went_S, gain_S * (off_S - self.season_WS[season]), 0.0)
        self.seen_WS[season] += went_S

    def _learn_spread(self, off_S: np.ndarray, went_S: np.ndarray) -> None:
        known_S = np.isfinite(self.spread_S)
        gain_S = np.maximum(SPREAD_GAIN, 1 / (self.seen_S + 1))
        capped_S = np.minimum(off_S, FARTHER * np.where(known_S, self.spread_S, np.inf))
        grown_S = self.spread_S + gain_S * (1.25 * capped_S - self.spread_S)
        self.spread_S = np.where(went_S, np.where(known_S, grown_S, 1.25 * off_S), self.spread_S)
