"""The searched bulk of a generation: an immutable faiss index, exact below a bound and an inverted file of cells above it.

A value takes 16 bits, as in the embeddings table and in PostgreSQL: half the memory, and twice the speed, since a search waits for memory.

A filter leaves few rows in some cells and none in others. Probing the cells nearest to the query would miss those rows, so the cells are
chosen among those that hold any, nearest first, until as many vectors are compared as without a filter.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from components.neighbours import TRAIN_SEED, IndexConfig
from components.serve.index.embedded.changes import inner_products

TRAIN_ROWS_PER_CELL = 64  # centroids are means: four times as many move recall by less than .001 and cost four times the time
COMPARED, COMPARED_PER_HIT = 1000, 15  # vectors at least, whatever the size of a cell: measured, for long answers as complete as short ones
CHUNK = 8192
BITS = faiss.ScalarQuantizer.QT_fp16

VectorsOf = Callable[[np.ndarray], np.ndarray]
Found = tuple[np.ndarray, np.ndarray]
NOTHING: Found = (np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True)
class Base:
    """Vectors by slot, from 0. `cell_of` (N,) and `centroids` (C, D) are empty in a flat index.

    `trained_on` rows made the centroids, and `added` were added to them by later builds.
    """

    index: Any
    num_probes: int
    cell_of: np.ndarray
    centroids: np.ndarray
    trained_on: int = 0
    added: int = 0

    @classmethod
    def over(cls, index: Any, num_probes: int, trained_on: int, added: int) -> "Base":
        """The base that a faiss index is, read or built."""
        if not isinstance(index, faiss.IndexIVF):
            return cls(index, num_probes, np.empty(0, np.int32), np.empty((0, index.d), np.float32))
        cell_of = np.empty(index.ntotal, np.int32)
        for cell in range(index.nlist):
            if size := index.invlists.list_size(cell):
                cell_of[faiss.rev_swig_ptr(index.invlists.get_ids(cell), size)] = cell
        return cls(index, num_probes, cell_of, index.quantizer.reconstruct_n(0, index.nlist), trained_on, added)

    @functools.cached_property
    def count(self) -> int:
        """How many vectors it holds."""
        return int(self.index.ntotal)

    @functools.cached_property
    def num_cells(self) -> int:
        """0 where every vector is compared with."""
        return len(self.centroids)

    def vector(self, slot: int) -> np.ndarray:
        """(D,) the vector of a slot, of unit length."""
        found = self.index.reconstruct(slot)
        unit: np.ndarray = found / math.sqrt(float(found @ found))
        return unit

    def compared(self, k: int) -> int:
        """How many vectors an unfiltered search for k compares with, about."""
        return self._num_probes(k) * self.count // self.num_cells if self.num_cells else self.count

    def _num_probes(self, k: int) -> int:
        wanted = -(-(COMPARED + COMPARED_PER_HIT * k) * self.num_cells // max(1, self.count))
        return min(self.num_cells, max(self.num_probes, wanted))

    def nearest(self, query_D: np.ndarray, k: int, alive: np.ndarray | None) -> Found:
        """Cosines and slots of up to k of the nearest alive vectors, best first; all alive where None."""
        found = self._search(query_D, k, _bits(alive), self._num_probes(k))
        return self.exactly(query_D, k, alive) if len(found[0]) < k else found

    def exactly(self, query_D: np.ndarray, k: int, alive: np.ndarray | None) -> Found:
        """As nearest(), after a comparison with every alive vector."""
        return self._search(query_D, k, _bits(alive), self.num_cells)

    def among(self, query_D: np.ndarray, k: int, mask: np.ndarray) -> Found:
        """As nearest(), of the slots that a filter leaves."""
        rows, budget, k = np.flatnonzero(mask), self.compared(k), min(k, self.count)
        if not len(rows):
            return NOTHING
        if len(rows) <= budget:
            return self.exactly(query_D, k, mask)
        cells = self._cells_with(rows, query_D, budget, self._num_probes(k))
        found = self._search_cells(query_D, k, _bits(mask), cells)
        return self.exactly(query_D, k, mask) if len(found[0]) < k else found

    def _cells_with(self, rows: np.ndarray, query_D: np.ndarray, budget: int, at_least: int) -> np.ndarray:
        """The cells nearest to the query that hold `budget` of the rows, and no fewer than `at_least` cells that hold any."""
        held = np.bincount(self.cell_of[rows], minlength=self.num_cells)
        closeness = np.empty(self.num_cells, np.float32)
        inner_products(query_D, self.centroids, closeness)
        order = np.argsort(-closeness)
        order = order[held[order] > 0]
        enough = int(np.searchsorted(np.cumsum(held[order]), budget)) + 1
        cells: np.ndarray = order[: max(enough, at_least)]
        return cells

    def _search(self, query_D: np.ndarray, k: int, bits: np.ndarray | None, num_probes: int) -> Found:
        if bits is None:
            params = _probing(num_probes) if self.num_cells else None
        else:
            selector = faiss.IDSelectorBitmap(bits)
            params = faiss.SearchParametersIVF(sel=selector, nprobe=num_probes) if self.num_cells else faiss.SearchParameters(sel=selector)
        cosines, slots = self.index.search(query_D[None], min(k, self.count), params=params)
        return _found(cosines[0], slots[0])

    def _search_cells(self, query_D: np.ndarray, k: int, bits: np.ndarray | None, cells: np.ndarray) -> Found:
        params = faiss.SearchParametersIVF(sel=faiss.IDSelectorBitmap(bits), nprobe=len(cells))
        cosines, slots = np.empty(k, np.float32), np.empty(k, np.int64)
        at, none = np.ascontiguousarray(cells, np.int64), np.zeros(len(cells), np.float32)
        arrays = [faiss.swig_ptr(array) for array in (query_D, at, none, cosines, slots)]
        self.index.search_preassigned_c(1, arrays[0], k, *arrays[1:], False, params)  # the wrapper of this takes no selector
        return _found(cosines, slots)


@functools.lru_cache(maxsize=256)
def _probing(num_probes: int) -> Any:
    """What to search with where nothing is left out; made once, since making it takes as long as a search in a small index."""
    return faiss.SearchParametersIVF(nprobe=num_probes)


def _found(cosines: np.ndarray, slots: np.ndarray) -> Found:
    there = slots >= 0
    return cosines[there], slots[there]


def _bits(mask: np.ndarray | None) -> np.ndarray | None:
    return None if mask is None else np.packbits(mask, bitorder="little")


def build(dim: int, count: int, vectors_of: VectorsOf, cfg: IndexConfig, before: Base | None = None, num_new: int = 0) -> Base:
    """A base over `count` vectors, where vectors_of(places) gives (len(places), D) of them, for rising places.

    The centroids of the base before, which had all but `num_new` of them, are used again until half as many vectors as they were trained on
    have come since.
    """
    faiss.omp_set_num_threads(1)  # of this thread: others go on answering
    if count < max(cfg.flat_below, cfg.num_cells):
        return Base.over(_filled_with(empty(dim), count, vectors_of), cfg.num_probes, 0, 0)
    added = before.added + num_new if before else 0
    cells = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(cells, dim, cfg.num_cells, BITS, faiss.METRIC_INNER_PRODUCT, False)
    index.cp.seed, index.cp.max_points_per_centroid = TRAIN_SEED, TRAIN_ROWS_PER_CELL
    if before and before.num_cells == cfg.num_cells and added <= before.trained_on // 2:
        cells.add(before.centroids)
        index.train(before.centroids)
        trained_on = before.trained_on
    else:
        size = min(count, TRAIN_ROWS_PER_CELL * cfg.num_cells)
        index.train(vectors_of(np.sort(np.random.default_rng(TRAIN_SEED).choice(count, size, replace=False))))
        trained_on, added = count, 0
    _filled_with(index, count, vectors_of)
    index.make_direct_map()
    return Base.over(index, cfg.num_probes, trained_on, added)


def empty(dim: int) -> Any:
    """A faiss index without vectors and without cells."""
    index = faiss.IndexScalarQuantizer(dim, BITS, faiss.METRIC_INNER_PRODUCT)
    index.train(np.zeros((1, dim), np.float32))
    return index


def _filled_with(index: Any, count: int, vectors_of: VectorsOf) -> Any:
    for start in range(0, count, CHUNK):
        index.add(vectors_of(np.arange(start, min(count, start + CHUNK))))
    return index
