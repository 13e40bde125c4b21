"""Findings: each judged series of a window with its surprise, and whether it is an alarm."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.means import Scale as Units
from monitoring.detectors.pair import moved, percent
from monitoring.detectors.registry import DETECTORS
from monitoring.judged import Finding
from monitoring.judging.config import VerdictConfig
from monitoring.judging.offs import Deviations
from monitoring.judging.past import Key
from monitoring.judging.steps import MEAN, PROFILE, SHARE, STEPS
from monitoring.judging.surprise import Scale
from monitoring.measured import Measured


@dataclass(frozen=True)
class Rule:
    """What makes a finding an alarm. Effects must be `effect_times` the least of a day. `before`: series that were as surprising in the
    window before."""

    threshold: float
    cfg: VerdictConfig
    effect_times: float = 1.0
    before: frozenset[Key] = frozenset()

    def alarming(self, key: Key, surprise: float, effect: float, num_parts: int | None) -> bool:
        """Whether it is far enough, large enough to matter, and lasts, as `num_parts` parts say; None where the series has none."""
        least = self.effect_times * self.cfg.effect_of(*key)
        if surprise < self.threshold or effect < least:
            return False
        if num_parts is None:
            return effect >= self.cfg.sure * least or key in self.before
        return num_parts >= self.cfg.min_parts

    def parts(self, z: float, z_P: np.ndarray, surprise_P: np.ndarray) -> int | None:
        """How many parts say the same: each far enough for itself, and with its share of the step. Of an even step, a part shows the
        deviation of the whole over the root of their number; of an evening's, most show nothing, however far off the whole is."""
        if not np.isfinite(z_P).any():
            return None
        least = self.cfg.part_share * abs(z) / math.sqrt(len(z_P))
        return int(((np.nan_to_num(surprise_P) >= self.cfg.part_surprise) & (np.nan_to_num(z_P) >= least)).sum())


@dataclass(frozen=True)
class Looked:
    """What was measured in the window: findings of detectors by series, rows by segment, and what the means of features are measured by."""

    measured: Mapping[Key, Measured]
    rows: Mapping[str, float]
    units: Units

    def told(self, key: Key, value: float, expected: float) -> Measured:
        """The value in words: of a detector its own; of a share or a step where the segment lies, against where it was expected."""
        name, segment = key
        if name in DETECTORS and name != SHARE and key in self.measured:
            return self.measured[key]
        family = DETECTORS[name].family if name in DETECTORS else STEPS[name].family
        return Measured(name, family, segment, value, self._words(name, value, expected), 0, round(self.rows.get(segment, 0)))

    def _words(self, name: str, value: float, expected: float) -> str:
        if name == SHARE:
            return moved("share of rows", percent(expected), percent(value))
        if name == PROFILE:
            return f"{STEPS[name].words} stepped by {value:.2f} spreads of a row, {expected:.2f} is usual"
        place = self.units.names.index(name.removeprefix(MEAN))
        before, now = (self.units.mean_F[place] + self.units.spread_F[place] * one for one in (expected, value))
        return moved(STEPS[name].words, f"{before:.2f}", f"{now:.2f}")


def findings(off: Deviations, scale: Scale, rule: Rule, looked: Looked) -> tuple[Finding, ...]:
    """Every series, the most surprising first."""
    names = [name for name, _ in off.keys]
    surprise_S, part_PS = scale.surprise(off.z_S, names), scale.of_parts(off.z_PS, names)
    found = []
    for s, key in enumerate(off.keys):
        value, expected, surprise = float(off.value_S[s]), float(off.expected_S[s]), float(surprise_S[s])
        once = _is_asked_once(key[0], off.z_PS[:, s], rule.cfg.min_parts)
        num_parts = None if once else rule.parts(float(off.z_S[s]), off.z_PS[:, s], part_PS[:, s])
        alarming = rule.alarming(key, surprise, effect_of(key, value, expected), num_parts)
        parts = () if num_parts is None else tuple(np.nan_to_num(part_PS[:, s]).tolist())
        found.append(Finding(looked.told(key, value, expected), expected, float(off.spread_S[s]), surprise, parts, alarming))
    return tuple(sorted(found, key=lambda one: (-one.surprise, one.measured.detector, one.measured.segment)))


def _is_asked_once(name: str, z_P: np.ndarray, min_parts: int) -> bool:
    """Whether answers to questions are looked at, and fewer parts hold any than must agree: so it is where probes are asked once a day."""
    return name in DETECTORS and not DETECTORS[name].per_segment and int(np.isfinite(z_P).sum()) < min_parts


def effect_of(key: Key, value: float, expected: float) -> float:
    """How large the step is: what lies between value and forecast. Of a profile, whose value is a length, what chance does not explain."""
    return math.sqrt(max(value**2 - expected**2, 0.0)) if key[0] == PROFILE else abs(value - expected)
