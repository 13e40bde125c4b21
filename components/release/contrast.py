"""How far two arms are from a bound on their difference, in standard errors that hold for small counts too. Pure, and batched.

The bound is a line: canary = offset + slope * stable. A difference has slope 1, a ratio offset 0.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from components.release.ratio import Counted, Floats

HALF_EVENT = 0.5
NUM_HALVINGS = 48
ENDLESS = 1 - 2**-30  # of the way to infinity


def signed_root(stable: Counted, canary: Counted, offset_BM: npt.ArrayLike, slope_BM: npt.ArrayLike) -> Floats:
    """(B, M): positive where the canary's value lies above the line, negative below; NaN without data. On the line it is normal with
    variance 1 or less.

    The signed root of the Poisson likelihood ratio, whose tails stay right where a z of estimated variance fails: no event in either arm is
    no certainty, and 3 events where 0.1 were due are not 9 standard errors. Both counts are first moved half an event towards the line
    (continuity), so the chance of a tail is not understated. The variance function is Poisson's for shares too: never too small.
    """
    a, b = np.broadcast_arrays(np.asarray(offset_BM, dtype=np.float64), np.asarray(slope_BM, dtype=np.float64))
    with np.errstate(all="ignore"):
        level = _on_line(stable, canary, a, b)
        due_stable, due_canary = stable.trials_BM * level, canary.trials_BM * np.maximum(a + b * level, 0.0)
        deviance = _deviance(stable.events_BM, due_stable) + _deviance(canary.events_BM, due_canary)
        return np.asarray(np.sign(canary.value_BM - a - b * stable.value_BM) * np.sqrt(deviance))


def _on_line(stable: Counted, canary: Counted, a: Floats, b: Floats) -> Floats:
    """The stable arm's value that fits both arms best while they lie on the line: the larger root of the likelihood's quadratic."""
    square = b * (canary.trials_BM * b + stable.trials_BM)
    linear = canary.trials_BM * a * b - canary.events_BM * b + stable.trials_BM * a - stable.events_BM * b
    inside = np.maximum(linear**2 + 4 * square * a * stable.events_BM, 0.0)
    return np.asarray(np.maximum((np.sqrt(inside) - linear) / (2 * square), 0.0))


def _deviance(events: Floats, due: Floats) -> Floats:
    """Twice the log likelihood ratio of a Poisson count against what is due, 0 or more."""
    moved = due + np.sign(events - due) * np.maximum(np.abs(events - due) - HALF_EVENT, 0.0)
    logs = np.where(moved > 0, moved * np.log(np.where(moved > 0, moved, 1.0) / due), 0.0)
    return np.asarray(np.maximum(2 * (logs - moved + due), 0.0))


def bounds(
    stable: Counted, canary: Counted, is_relative_M: npt.NDArray[np.bool_], low_z_M: Floats, high_z_M: Floats
) -> tuple[Floats, Floats]:
    """(1, M) and (1, M): the differences (or ratios less 1) that the data lie low_z standard errors above, and high_z below.

    What signed_root() puts beyond a boundary, and nothing else, lies outside. NaN without data; infinite where no bound can be given.
    """
    with np.errstate(all="ignore"):
        centre = np.where(is_relative_M, canary.value_BM / stable.value_BM, canary.value_BM - stable.value_BM)
        scale = np.where(
            is_relative_M, np.maximum(centre, 1.0), stable.value_BM + canary.value_BM + 1 / stable.trials_BM + 1 / canary.trials_BM
        )

    def distance(at: Floats) -> Floats:
        return signed_root(stable, canary, np.where(is_relative_M, 0.0, at), np.where(is_relative_M, at, 1.0))

    def below(part: Floats) -> Floats:
        return np.asarray(np.where(is_relative_M, centre * (1 - part), centre - scale * part / (1 - part)))

    def above(part: Floats) -> Floats:
        return np.asarray(centre + scale * part / (1 - part))

    shift = np.where(is_relative_M, 1.0, 0.0)
    with np.errstate(all="ignore"):
        low_part = _crossing(lambda part: distance(below(part)) < low_z_M, centre)
        high_part = _crossing(lambda part: -distance(above(part)) < high_z_M, centre)
        low = np.where(np.isfinite(low_z_M), below(low_part), -np.inf)
        high = np.where(np.isfinite(high_z_M) & (high_part < ENDLESS), above(high_part), np.inf)
    return low - shift, high - shift


def _crossing(is_inside: Callable[[Floats], npt.NDArray[np.bool_]], like: Floats) -> Floats:
    """Where in (0, 1) the answer turns from inside to outside, by halving."""
    low, high = np.zeros_like(like), np.ones_like(like)
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        inside = is_inside(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.asarray((low + high) / 2)
