"""The encoder's table: every row (model and baselines) against every relevance, whole and by slice, with paired differences.

N = gallery items, Q = queries, M = METRICS. A value of NaN means that the row could not answer the query.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from components.evaluate.bootstrap import Estimate, cluster_estimates
from components.evaluate.interactions import Pages
from components.evaluate.relevance import Relevance
from components.metrics import METRICS, all_metrics

MODEL = "model"
STABLE = "stable"
DIFFERENCE = "model_minus_"
Table = dict[str, dict[str, dict[str, dict[str, Estimate]]]]


class Ranker(Protocol):
    """What can rank the gallery for a query."""

    def rank(self, query_Q: np.ndarray, own_N: np.ndarray, present_N: np.ndarray) -> np.ndarray:
        """See rankings.py."""


@dataclass(frozen=True)
class Row:
    """A row of the table: vectors, how neighbours are found by them, and which gallery items have one.

    `twin` ranks the model where it is compared with this row; without one the model's own ranker does.
    """

    name: str
    vector_ND: np.ndarray
    ranker: Ranker
    present_N: np.ndarray
    twin: Ranker | None = None

    @property
    def num_missing(self) -> int:
        """Gallery items without a vector."""
        return int((~self.present_N).sum())


@dataclass(frozen=True)
class Measured:
    """Per-query values of one relevance. `item_Q` is the query's gallery position; `twin` holds the model's values on the gallery of
    a row that misses items, and by its `twin` ranker, so that a difference compares like with like. `left_out` are query items with
    nothing to find."""

    kind: str
    item_Q: np.ndarray
    cluster_Q: np.ndarray
    value_QM: Mapping[str, np.ndarray]
    twin_QM: Mapping[str, np.ndarray]
    left_out: np.ndarray
    simulated: bool = False
    num_simulated_left_out: int = 0

    def columns(self) -> dict[str, np.ndarray]:
        """Values by row name, paired differences included, model first."""
        others = [name for name in self.value_QM if name != MODEL]
        differences = {DIFFERENCE + name: self.twin_QM[name] - self.value_QM[name] for name in others}
        return {**self.value_QM, **differences}


def measure(relevance: Relevance, rows: Sequence[Row]) -> Measured:
    """Values of each row on all queries that have something to find in the whole gallery. The first row is the model."""
    everything_N = np.ones(len(relevance.label_N), bool)
    found_N = relevance.num_relevant(everything_N)
    query_Q = np.flatnonzero(found_N > 0)
    value_QM = {row.name: _values(relevance, row.ranker, query_Q, row.present_N) for row in rows}
    model = rows[0]
    twin_QM = {
        r.name: _values(relevance, r.twin or model.ranker, query_Q, r.present_N) if r.twin or r.num_missing else value_QM[MODEL]
        for r in rows[1:]
    }
    left_out = np.flatnonzero((relevance.label_N >= 0) & (found_N == 0))
    return Measured(relevance.kind, query_Q, relevance.cluster_N[query_Q], value_QM, twin_QM, left_out)


def _values(relevance: Relevance, ranker: Ranker, query_Q: np.ndarray, present_N: np.ndarray) -> np.ndarray:
    value_QM = np.full((len(query_Q), len(METRICS)), np.nan)
    asked_Q = present_N[query_Q]
    ranking_QK = ranker.rank(query_Q[asked_Q], relevance.own_N, present_N)
    hits_QK = relevance.hits(query_Q[asked_Q], ranking_QK)
    value_QM[asked_Q] = all_metrics(hits_QK, relevance.num_relevant(present_N)[query_Q[asked_Q]])
    return value_QM


def measure_pages(pages: Pages, rows: Sequence[Row]) -> Measured:
    """Values of each row on held-out pages. The first row is the model."""
    value_QM = {row.name: pages.metrics(row.vector_ND, row.present_N) for row in rows}
    twin_QM = {r.name: pages.metrics(rows[0].vector_ND, r.present_N) for r in rows[1:]}
    nobody = np.zeros(0, np.int64)
    return Measured(
        "interactions",
        pages.source_P,
        np.array(pages.user, dtype=object).astype(str),
        value_QM,
        twin_QM,
        nobody,
        pages.simulated,
        pages.num_simulated_left_out,
    )


def encoder_table(measured: Sequence[Measured], slices: Mapping[str, np.ndarray], *, num_draws: int, seed: int) -> Table:
    """slice -> relevance -> row -> metric -> Estimate. What has no query in a slice has no entry."""
    table: Table = {name: {} for name in slices}
    for name, mask_N in slices.items():
        for one in measured:
            if rows := _estimates(one, mask_N[one.item_Q], num_draws, seed):
                table[name][one.kind] = rows
    return table


def _estimates(one: Measured, asked_Q: np.ndarray, num_draws: int, seed: int) -> dict[str, dict[str, Estimate]]:
    columns = one.columns()
    value_QM = np.concatenate([values[asked_Q] for values in columns.values()], axis=1)
    estimates = iter(cluster_estimates(value_QM, one.cluster_Q[asked_Q], num_draws=num_draws, seed=seed))
    by_row = {name: {metric: next(estimates) for metric in METRICS} for name in columns}
    known = {name: {m: e for m, e in metrics.items() if e is not None} for name, metrics in by_row.items()}
    return {name: metrics for name, metrics in known.items() if metrics}


def encoder_counts(measured: Sequence[Measured], slices: Mapping[str, np.ndarray], min_clusters: int) -> dict[str, dict[str, Any]]:
    """slice -> relevance -> how many queries and clusters stand behind its numbers, and whether they are enough to decide."""
    return {name: {one.kind: _counts(one, mask_N, min_clusters) for one in measured} for name, mask_N in slices.items()}


def _counts(one: Measured, mask_N: np.ndarray, min_clusters: int) -> dict[str, Any]:
    asked_Q = mask_N[one.item_Q]
    num_clusters = len(np.unique(one.cluster_Q[asked_Q]))
    return {
        "num_queries": int(asked_Q.sum()),
        "num_clusters": num_clusters,
        "num_without_relevant": int(mask_N[one.left_out].sum()),
        "decides": num_clusters >= min_clusters and not one.simulated,
        "simulated": one.simulated,
    }


def shares_of(stem: str, measured: Sequence[Measured], slices: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """slice -> relevance -> the share of this row's nDCG@5 that the model reaches, and both sides, on what both cover."""
    shares: dict[str, dict[str, Any]] = {name: {} for name in slices}
    for name, mask_N in slices.items():
        for one in measured:
            model, other = (values[mask_N[one.item_Q], 0] for values in (one.twin_QM[stem], one.value_QM[stem]))
            both = ~np.isnan(model) & ~np.isnan(other)
            if both.any() and other[both].mean() > 0:
                ours, theirs = float(model[both].mean()), float(other[both].mean())
                shares[name][one.kind] = {"share": ours / theirs, "model": ours, "external": theirs}
    return shares
