"""Where a segment's rows lie in the mean, with sign: a distance from an old reference has lost its direction.

N rows, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.part import Part

# The numbers of a row, and the least spread that each counts as having.
NUMBERS = {"image_score": 0.01, "brightness": 0.02, "sharpness": 0.05, "text_share": 0.005, "size": 0.1, "aspect": 0.05}
MISSED, LEAST_MISSED = "missed", 1e-3
COMPONENT = "component"


@dataclass(frozen=True)
class Scale:
    """What a feature of a row is measured by: the reference's mean, and its spread over single rows. F features by name."""

    names: tuple[str, ...]
    mean_F: np.ndarray
    spread_F: np.ndarray

    @classmethod
    def of(cls, whole: Part) -> "Scale":
        """The features of the reference's rows, given as its whole part. A number that it has of no row is left out, and so are the
        components where it has no vectors."""
        scales = {name: _scale(whole.rows.number[name][whole.index], whole.weight, least) for name, least in NUMBERS.items()}
        if whole.placed is not None and len(whole.sound):
            scales[MISSED] = _scale(whole.placed.missed_N[whole.sound], whole.rows.weight_N[whole.sound], LEAST_MISSED)
            scales |= {f"{COMPONENT}_{number + 1:02d}": (0.0, 1.0) for number in range(whole.placed.z_NC.shape[1])}
        known = {name: scale for name, scale in scales.items() if np.isfinite(scale[0])}
        mean, spread = np.array(list(known.values())).reshape(-1, 2).T
        return cls(tuple(known), mean, spread)

    def rows(self, part: Part) -> np.ndarray:
        """(N, F) features of the rows of a window, given as its whole part, in units of the spread; NaN where a row has none."""
        numbers = [part.rows.number[name] for name in self.names if name in NUMBERS]
        columns = np.stack(numbers, axis=1) if numbers else np.zeros((len(part.rows.weight_N), 0))
        if part.placed is not None and MISSED in self.names:
            placed = np.column_stack([part.placed.missed_N, part.placed.z_NC])
            columns = np.column_stack([columns, np.where(part.rows.sound_N[:, None], placed, np.nan)])
        return np.asarray((columns - self.mean_F) / self.spread_F)


NO_SCALE = Scale((), np.zeros(0), np.zeros(0))


def _scale(values: np.ndarray, weight: np.ndarray, least: float) -> tuple[float, float]:
    """Mean and spread of the numbers that are there; NaN for both where none is."""
    here = np.isfinite(values)
    if not here.any():
        return np.nan, np.nan
    mean = float(np.average(values[here], weights=weight[here]))
    return mean, max(float(np.sqrt(np.average((values[here] - mean) ** 2, weights=weight[here]))), least)


def means(scale: Scale, parts: Mapping[str, Part], segments: Sequence[str]) -> dict[str, np.ndarray]:
    """(F,) the mean of each feature in each segment, in units of the reference's spread from its mean; NaN where no row has it."""
    if not segments:
        return {}
    whole = next(iter(parts.values()))
    values_NF, weight_N = scale.rows(whole), whole.rows.weight_N
    there_NF = np.isfinite(values_NF)
    weighed_NF, count_NF = np.where(there_NF, values_NF, 0.0) * weight_N[:, None], there_NF * weight_N[:, None]
    found = {}
    for segment in segments:
        index = parts[segment].index
        count_F = count_NF[index].sum(axis=0)
        found[segment] = np.divide(weighed_NF[index].sum(axis=0), count_F, out=np.full(len(count_F), np.nan), where=count_F > 0)
    return found
