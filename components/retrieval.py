"""How well vectors find their own kind: the value that training stops by and that export compares precisions with."""

import numpy as np

from components.metrics import ndcg_at

BLOCK = 1024


def category_ndcg_at_5(vectors: np.ndarray, categories: list[str], owners: list[str]) -> float | None:
    """Mean nDCG@5 in [0, 1] of (N, D) unit vectors as queries against each other; same category from another owner is relevant.

    An owner's own items never count. None where no item has anything to find.
    """
    category = np.unique(np.array(categories, dtype=object), return_inverse=True)[1] if categories else np.zeros(0, np.int64)
    owner = np.unique(np.array(owners, dtype=object), return_inverse=True)[1] if owners else np.zeros(0, np.int64)
    values = [_block(vectors, category, owner, start) for start in range(0, len(vectors), BLOCK)]
    found = np.concatenate(values) if values else np.zeros(0)
    return float(np.nanmean(found)) if np.isfinite(found).any() else None


def _block(vectors: np.ndarray, category: np.ndarray, owner: np.ndarray, start: int) -> np.ndarray:
    rows = slice(start, start + BLOCK)
    theirs = owner[rows, None] != owner[None, :]
    relevant = (category[rows, None] == category[None, :]) & theirs
    cosine = np.where(theirs, vectors[rows] @ vectors.T, -np.inf)
    best = np.argsort(-cosine, axis=1, kind="stable")[:, :5]
    return ndcg_at(5, np.take_along_axis(relevant, best, axis=1), relevant.sum(axis=1))
