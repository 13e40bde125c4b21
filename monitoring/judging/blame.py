"""Which segments explain a shift.

F features.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from monitoring.judged import Blame
from monitoring.judging.offs import Offs
from monitoring.judging.past import dimension_of
from monitoring.judging.steps import SHARE, is_mean
from monitoring.window import ALL


def by_means(offs: Offs, rows: Mapping[str, float], min_share: float) -> tuple[Blame, ...]:
    """Segments by how much of the shift's sum of squares is left out with them, largest first; those with `min_share` of the rows or more.

    By how much the sum of a segment's rows, as distances of their features from the shop's mean, differs from its forecast, squared, by the
    segment's rows. Where k rows are faulty, those in a segment of n rows, and alike, that is k^2 / n of their distance: among segments that
    hold all of them, largest for the one that holds no others. What chance gives is taken off.
    """
    place = {key: number for number, key in enumerate(offs.keys)}
    names = sorted({name for name, segment in offs.keys if segment == ALL and is_mean(name)})
    centre_F = offs.expected_K[[place[name, ALL] for name in names]]
    known = _known(rows)
    squares = {}
    for segment, num in rows.items():
        at = [place.get((name, segment), -1) for name in names]
        share = place.get((SHARE, segment), -1)
        if segment != ALL and share >= 0 and min(at, default=-1) >= 0 and num >= min_share * rows[ALL]:
            squares[segment] = known[dimension_of(segment)] ** 2 * _square(offs, at, share, centre_F) / num
    return _ranked(squares)


def _known(rows: Mapping[str, float]) -> dict[str, float]:
    """Rows that have a value, by dimension."""
    found: dict[str, float] = {}
    for segment, num in rows.items():
        found[dimension_of(segment)] = found.get(dimension_of(segment), 0.0) + num
    return found


def _square(offs: Offs, at: list[int], share: int, centre_F: np.ndarray) -> float:
    """The squared difference of a segment's sum from its forecast, by all rows; less its variance on quiet windows."""
    now, then, spread = offs.value_K[share], np.nan_to_num(offs.expected_K[share]), np.nan_to_num(offs.spread_LK[0, share])
    expected_F = np.where(np.isfinite(offs.expected_K[at]), offs.expected_K[at], centre_F)
    spread_F = np.nan_to_num(offs.spread_LK[0, at])
    moved_F = now * (offs.value_K[at] - centre_F) - then * (expected_F - centre_F)
    chance_F = (then * spread_F) ** 2 + (spread * (expected_F - centre_F)) ** 2
    return float(np.nansum(moved_F**2 - chance_F))


def by_shares(offs: Offs, dimensions: Sequence[str]) -> tuple[Blame, ...]:
    """Segments of these dimensions whose share of the rows grew, by how much."""
    grown = {
        segment: float(offs.off_LK[0, number])
        for number, (name, segment) in enumerate(offs.keys)
        if name == SHARE and dimension_of(segment) in dimensions and np.isfinite(offs.off_LK[0, number])
    }
    return _ranked(grown)


def _ranked(weights: Mapping[str, float]) -> tuple[Blame, ...]:
    """Segments with a weight above 0, the heaviest first, each by the sum of the dimension that has the most."""
    heavy = {segment: weight for segment, weight in weights.items() if weight > 0}
    of_dimension: dict[str, float] = {}
    for segment, weight in heavy.items():
        of_dimension[dimension_of(segment)] = of_dimension.get(dimension_of(segment), 0.0) + weight
    whole = max(of_dimension.values(), default=1.0)
    ranked = sorted(heavy.items(), key=lambda one: (-one[1], one[0]))
    return tuple(Blame(segment, round(weight / whole, 4)) for segment, weight in ranked)
