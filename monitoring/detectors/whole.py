"""A window of any length, chunk by chunk: what the vector space and the sums need is kept, nothing else.

N rows, D width of a vector.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.errors import BadData
from monitoring.detectors.config import DetectorsConfig
from monitoring.detectors.hashes import blocks, hashed, mixed
from monitoring.detectors.space import Moments, Space
from monitoring.detectors.sums import Sums
from monitoring.detectors.threads import one_thread

ITEM_NAMES = ("item_id", "image_id", "request_id")  # the first that is there names the row's item


@dataclass(frozen=True)
class Chunk:
    """Rows with sound vectors (N, D), the rows of the log that each stands for, and each one's item, fold of items and block."""

    vector_ND: np.ndarray
    weight_N: np.ndarray
    item_N: np.ndarray
    fold_N: np.ndarray
    block_N: np.ndarray

    @classmethod
    def of(cls, table: pa.Table, vectors: np.ndarray, weight: np.ndarray, cfg: DetectorsConfig, seed: int) -> "Chunk":
        """The rows of a table with item_id, image_id, request_id, seller_id and ts; those whose vector is no number are left out."""
        sound = np.isfinite(vectors).all(axis=1) & (weight > 0)
        table, vectors = table.filter(pa.array(sound)), vectors[sound].astype(np.float32, copy=False)
        item = items(table, seed)
        return cls(vectors, weight[sound].astype(np.float64), item, folds(item, cfg), blocks(table, cfg, seed))


def items(table: pa.Table, seed: int) -> np.ndarray:
    """(N,) uint64 of each row's item."""
    return mixed(hashed(pc.coalesce(*(table[name] for name in ITEM_NAMES))), seed)


def folds(item_N: np.ndarray, cfg: DetectorsConfig) -> np.ndarray:
    """(N,) the fold of each row's item, below num_folds."""
    return np.asarray((item_N % np.uint64(cfg.num_folds)).astype(np.int64))


@one_thread()
def fit(chunks: Iterable[Chunk], cfg: DetectorsConfig, seed: int) -> Space:
    """The vector space of a reference, in one pass. Raises BadData where it has no row."""
    moments: list[Moments] = []
    kept = None
    for chunk in chunks:
        vectors = chunk.vector_ND.astype(np.float64)
        of_chunk = Moments.by_fold(vectors, chunk.weight_N, chunk.fold_N, cfg.num_folds)
        moments = list(map(add, moments, of_chunk)) if moments else of_chunk
        kept = _first(chunk, kept, cfg.bandwidth_rows)
    if kept is None or not len(kept[0]):
        raise BadData("the reference has no row with a sound vector: there is nothing to compare with")
    return Space.fit(moments, kept[1], cfg, seed)


def _first(chunk: Chunk, kept: tuple[np.ndarray, np.ndarray] | None, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The `num` items of lowest number so far with a vector of each: a sample that no order of rows changes."""
    item, vectors = chunk.item_N, chunk.vector_ND
    if kept is not None:
        item, vectors = np.concatenate([kept[0], item]), np.concatenate([kept[1], vectors])
    lowest, first = np.unique(item, return_index=True)
    return lowest[:num], vectors[first[:num]]


@one_thread()
def add_up(space: Space, chunks: Iterable[Chunk], cfg: DetectorsConfig) -> Sums:
    """The sums over a window, in one pass. Raises BadData where it has no row."""
    of_chunks = (Sums.of(space, c.vector_ND, c.weight_N, c.fold_N, c.block_N, cfg.num_blocks) for c in chunks if len(c.weight_N))
    first = next(of_chunks, None)
    if first is None:
        raise BadData("the window has no row with a sound vector: there is nothing to compare")
    return reduce(add, of_chunks, first)
