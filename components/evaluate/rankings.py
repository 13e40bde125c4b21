"""Neighbours of held-out items within the held-out gallery, the query's own items taken out.

N = gallery items, Q = queries, K = ranks, D = vector width. A ranking is int64 (Q, K) of gallery positions, best first, -1 where
there is nothing left to rank.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

NUM_RANKS = 6
FIRST_DEPTH = 32
BATCH_QUERIES = 512


class Searcher(Protocol):
    """The served index, see components/neighbours.py."""

    @property
    def fingerprint(self) -> str:
        """Identity of the vector space."""

    @property
    def item_ids(self) -> list[str]:
        """The item in each row."""

    def search(self, vectors: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Similarities (Q, k), descending, and row numbers (Q, k), -1 where there are fewer than k."""


@dataclass(frozen=True)
class Exact:
    """Neighbours by exact cosine. vector_ND is unit length."""

    vector_ND: np.ndarray

    def rank(self, query_Q: np.ndarray, own_N: np.ndarray, present_N: np.ndarray) -> np.ndarray:
        """The ranking of the present items for each query; equal similarities keep gallery order."""
        gallery_R = np.flatnonzero(present_N)
        return _joined([self._rank(q, own_N, gallery_R) for q in _batches(query_Q)])

    def _rank(self, query_Q: np.ndarray, own_N: np.ndarray, gallery_R: np.ndarray) -> np.ndarray:
        similar_QR = self.vector_ND[query_Q] @ self.vector_ND[gallery_R].T
        similar_QR[own_N[query_Q][:, None] == own_N[gallery_R][None, :]] = -np.inf
        best_QK = _best(similar_QR, NUM_RANKS)
        kept_QK = np.isfinite(np.take_along_axis(similar_QR, best_QK, axis=1))
        return _first_kept(gallery_R[best_QK], kept_QK)


@dataclass(frozen=True)
class Served:
    """Neighbours as the served index answers them, approximate where it is. row_N: the index row of each gallery item."""

    index: Searcher
    row_N: np.ndarray
    vector_ND: np.ndarray

    def rank(self, query_Q: np.ndarray, own_N: np.ndarray, present_N: np.ndarray) -> np.ndarray:
        """The ranking of the present items for each query, searched deeper where the query's own items came first."""
        return _joined([self._rank(q, own_N, present_N) for q in _batches(query_Q)])

    def _rank(self, query_Q: np.ndarray, own_N: np.ndarray, present_N: np.ndarray) -> np.ndarray:
        among_R = np.sort(self.row_N[present_N])
        ranking_QK = np.full((len(query_Q), NUM_RANKS), -1)
        left_L, depth = np.arange(len(query_Q)), min(FIRST_DEPTH, len(among_R))
        while len(left_L) and depth:
            found_LK = self._found(query_Q[left_L], depth, among_R)
            kept_LK = (found_LK >= 0) & (own_N[found_LK] != own_N[query_Q[left_L]][:, None])
            ranking_QK[left_L] = _first_kept(found_LK, kept_LK)
            short_L = (kept_LK.sum(axis=1) < NUM_RANKS) & (found_LK[:, -1] >= 0)
            left_L = left_L[short_L & (depth < len(among_R))]
            depth = min(4 * depth, len(among_R))
        return ranking_QK

    def _found(self, query_Q: np.ndarray, depth: int, among_R: np.ndarray) -> np.ndarray:
        position = np.full(len(self.index.item_ids) + 1, -1)  # one more, so that row -1 maps to position -1
        position[self.row_N] = np.arange(len(self.row_N))
        rows_QK = self.index.search(self.vector_ND[query_Q], depth, among_R)[1]
        return np.asarray(position[rows_QK])


def recall_at(k: int, found_QK: np.ndarray, exact_QK: np.ndarray) -> float | None:
    """Share in [0, 1] of the first k exact neighbours that are among the first k found; None where there are none."""
    wanted_QK = exact_QK[:, :k]
    met_QK = (wanted_QK[:, :, None] == found_QK[:, None, :k]).any(axis=2) & (wanted_QK >= 0)
    num_wanted = int((wanted_QK >= 0).sum())
    return int(met_QK.sum()) / num_wanted if num_wanted else None


def _batches(query_Q: np.ndarray) -> Iterator[np.ndarray]:
    return (query_Q[start : start + BATCH_QUERIES] for start in range(0, len(query_Q), BATCH_QUERIES))


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, NUM_RANKS), np.int64), *parts])


def _best(similar_QR: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values in each row, best first; equal values keep the order of columns."""
    if similar_QR.shape[1] > k:
        chosen_QK = np.sort(np.argpartition(-similar_QR, k - 1, axis=1)[:, :k], axis=1)
    else:
        chosen_QK = np.broadcast_to(np.arange(similar_QR.shape[1]), similar_QR.shape)
    order_QK = np.argsort(-np.take_along_axis(similar_QR, chosen_QK, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen_QK, order_QK, axis=1)


def _first_kept(found_QK: np.ndarray, kept_QK: np.ndarray) -> np.ndarray:
    """The first NUM_RANKS kept entries of each row, in order, filled up with -1."""
    order_QK = np.argsort(~kept_QK, axis=1, kind="stable")[:, :NUM_RANKS]
    ranking_QK = np.where(np.take_along_axis(kept_QK, order_QK, axis=1), np.take_along_axis(found_QK, order_QK, axis=1), -1)
    return np.pad(ranking_QK, ((0, 0), (0, NUM_RANKS - ranking_QK.shape[1])), constant_values=-1)
