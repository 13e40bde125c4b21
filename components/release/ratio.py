"""Ratio metrics from sums over users: their value, and how many independent events they are worth. Pure, and batched.

Shapes: B = looks (or simulated ladders), M = metrics. moments_BMAS holds for each arm (stable, canary) a Sample's six numbers in its order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from components.release.channel import Arm
from components.release.evidence import EMPTY, Look

Floats = npt.NDArray[np.float64]
ARMS: tuple[Arm, Arm] = ("stable", "canary")


@dataclass(frozen=True)
class Counted:
    """An arm: `value_BM`, the ratio sum_x / sum_y, is as uncertain as `events_BM` independent events over `trials_BM`. NaN without data."""

    value_BM: Floats
    events_BM: Floats
    trials_BM: Floats

    def last(self) -> "Counted":
        """(1, M): the last look alone."""
        return Counted(self.value_BM[-1:], self.events_BM[-1:], self.trials_BM[-1:])


def moments_of(looks: Sequence[Look], metrics: Sequence[str]) -> Floats:
    """(B, M, 2, 6); zeros where a look has no such metric or arm."""
    return np.array([[_arms(look.samples.get(name, {})) for name in metrics] for look in looks], dtype=np.float64)


def _arms(samples: Mapping[Arm, object]) -> list[tuple[float, ...]]:
    return [astuple(samples.get(arm, EMPTY)) for arm in ARMS]  # type: ignore[call-overload]  # a Sample, as EMPTY is


def counted(moments_BMS: Floats, prior_users: float) -> Counted:
    """One arm's events and trials.

    A user's own x and y hang together, so users are the unit: the value's variance is the delta method's, sum (x - value y)^2 / sum_y^2.
    From a few users with any x it is far too sure of itself (no error seen: no variance), so it starts from the worst case, that all of a
    user's y share one fate, which leaves sum_y^2 / sum_yy independent trials (Kish 1965). That doubt weighs as `prior_users` users beside
    the sum_x^2 / sum_xx that have x. It only ever widens.
    """
    n, x, y, xx, xy, yy = np.moveaxis(moments_BMS, -1, 0)
    with np.errstate(all="ignore"):
        value = np.where((n >= 2) & (y > 0), x / y, np.nan)
        spread = np.maximum(xx - 2 * value * xy + value**2 * yy, 0.0) * n / (n - 1)
        seen = np.where(x > 0, x**2 / xx, 0.0)
        per_trial = np.where(x > 0, spread / (y**2 * value), 0.0)
        doubt = np.maximum(yy / y**2 - per_trial, 0.0)
        trials = 1 / (per_trial + doubt * prior_users / (seen + prior_users))
    return Counted(value, value * trials, trials)
