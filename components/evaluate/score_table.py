"""The image score's table: ordered pair accuracy of the served score and of simple statistics, whole and by slice.

N = held-out items, P = pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.evaluate.bootstrap import Estimate, cluster_estimates
from components.evaluate.orders import Pairs
from components.evaluate.table import DIFFERENCE, MODEL
from components.metrics import ordered_pair_accuracy

ScoreTable = dict[str, dict[str, dict[str, Estimate]]]
QUANTILES_PERCENT = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Ordered:
    """Pairs with the accuracy of each row on each of them. The model's row is one of them."""

    pairs: Pairs
    value_P: Mapping[str, np.ndarray]

    def columns(self) -> dict[str, np.ndarray]:
        """Values by row name, paired differences included."""
        others = [name for name in self.value_P if name != MODEL]
        return {**self.value_P, **{DIFFERENCE + name: self.value_P[MODEL] - self.value_P[name] for name in others}}


def ordered(pairs: Pairs, score_N: Mapping[str, np.ndarray]) -> Ordered:
    """Every score put to the pairs: `score_N` by row name, higher is taken as better."""
    return Ordered(pairs, {name: ordered_pair_accuracy(values[pairs.better_P], values[pairs.worse_P]) for name, values in score_N.items()})


def score_table(sides: Sequence[Ordered], slices: Mapping[str, np.ndarray], *, num_draws: int, seed: int) -> ScoreTable:
    """slice -> against -> row -> Estimate of the OPA. A pair lies in a slice with both items; what has no pair has no entry."""
    table: ScoreTable = {name: {} for name in slices}
    for name, mask_N in slices.items():
        for side in sides:
            inside_P = side.pairs.within(mask_N)
            columns = side.columns()
            value_PM = np.stack([values[inside_P] for values in columns.values()], axis=1)
            estimates = cluster_estimates(value_PM, side.pairs.cluster_P[inside_P], num_draws=num_draws, seed=seed)
            if rows := {row: e for row, e in zip(columns, estimates, strict=True) if e is not None}:
                table[name][side.pairs.against] = rows
    return table


def score_json(table: ScoreTable, sides: Sequence[Ordered], min_clusters: int) -> dict[str, Any]:
    """The table as a report shows it, each entry with its counts. Clicks that nobody made decide nothing."""
    simulated = {side.pairs.against for side in sides if side.pairs.simulated}
    return {
        name: {
            against: {row: _entry(e, against in simulated, min_clusters) for row, e in rows.items()} for against, rows in by_side.items()
        }
        for name, by_side in table.items()
    }


def _entry(estimate: Estimate, simulated: bool, min_clusters: int) -> dict[str, Any]:
    decides = estimate.num_clusters >= min_clusters and not simulated
    counts = {"num_pairs": estimate.num_values, "num_clusters": estimate.num_clusters}
    return {**estimate.as_json(), **counts, "decides": decides, "simulated": simulated}


def distribution(score_N: np.ndarray) -> dict[str, float]:
    """Where the served scores of the held-out items lie: count, mean and quantiles."""
    if not len(score_N):
        return {"num_items": 0}
    quantiles = zip(QUANTILES_PERCENT, np.percentile(score_N, QUANTILES_PERCENT), strict=True)
    return {"num_items": len(score_N), "mean": float(score_N.mean()), **{f"p{q:02d}": float(v) for q, v in quantiles}}
