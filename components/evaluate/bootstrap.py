"""Intervals from a bootstrap over clusters: whole sellers, products or users are drawn again, never single queries.

Q = queries or pairs, M = columns to estimate, C = clusters, B = draws.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LEVELS_PERCENT = (2.5, 97.5)
CELLS_A_BLOCK = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A mean with its percentile 95 % interval, and how much stands behind it."""

    value: float
    low: float
    high: float
    num_values: int
    num_clusters: int

    def as_json(self) -> dict[str, float]:
        """What a report shows for it."""
        return {"value": self.value, "low": self.low, "high": self.high}


def cluster_estimates(value_QM: np.ndarray, cluster_Q: np.ndarray, *, num_draws: int, seed: int) -> list[Estimate | None]:
    """An Estimate for each column, None for a column without any value.

    NaN marks a missing value. The mean is over values, so a large cluster weighs more. All columns share the same draws: where a
    column is a difference of two others, its interval is the paired one. The order of rows changes nothing.
    """
    codes_Q = np.unique(cluster_Q, return_inverse=True)[1]
    seen_QM = ~np.isnan(value_QM)
    sum_CM = _by_cluster(np.where(seen_QM, value_QM, 0.0), codes_Q)
    count_CM = _by_cluster(seen_QM.astype(np.float64), codes_Q)
    if not len(sum_CM):
        return [None] * value_QM.shape[1]
    weights = _drawn_weights(len(sum_CM), num_draws, np.random.default_rng(seed))
    mean_BM = np.concatenate([_ratio(w_BC @ sum_CM, w_BC @ count_CM) for w_BC in weights])
    mean_M = _ratio(sum_CM.sum(axis=0), count_CM.sum(axis=0))
    return [_estimate(mean_M[m], mean_BM[:, m], seen_QM[:, m].sum(), (count_CM[:, m] > 0).sum()) for m in range(len(mean_M))]


def _by_cluster(value_QM: np.ndarray, codes_Q: np.ndarray) -> np.ndarray:
    num_clusters = int(codes_Q.max()) + 1 if len(codes_Q) else 0
    return np.stack([np.bincount(codes_Q, column, minlength=num_clusters) for column in value_QM.T], axis=1)


def _drawn_weights(num_clusters: int, num_draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each cluster was drawn, (b, C) at a time so that memory stays bounded; b over all blocks adds up to num_draws."""
    block = max(1, CELLS_A_BLOCK // num_clusters)
    for start in range(0, num_draws, block):
        rows = min(block, num_draws - start)
        drawn = rng.integers(0, num_clusters, (rows, num_clusters)) + num_clusters * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * num_clusters).reshape(rows, num_clusters).astype(np.float64)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def _estimate(mean: float, mean_B: np.ndarray, num_values: int, num_clusters: int) -> Estimate | None:
    if not num_values:
        return None
    low, high = np.nanpercentile(mean_B, LEVELS_PERCENT)
    return Estimate(float(mean), float(low), float(high), int(num_values), int(num_clusters))
