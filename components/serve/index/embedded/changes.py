"""Vectors that were written since the base was built: few enough to compare with each of them. D is the width."""

import faiss
import numpy as np

ROWS = 512


class Changes:
    """Vectors in blocks that never move, so that a reader in another thread may go on while more are appended."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.count = 0
        self._blocks: list[np.ndarray] = []

    def append(self, vector_D: np.ndarray) -> None:
        """Keeps the vector at the end."""
        if self.count == len(self._blocks) * ROWS:
            self._blocks.append(np.empty((ROWS, self.dim), np.float32))
        self._blocks[-1][self.count % ROWS] = vector_D
        self.count += 1

    def vector(self, row: int) -> np.ndarray:
        """(D,) a copy of one of them."""
        found: np.ndarray = self._blocks[row // ROWS][row % ROWS].copy()
        return found

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), D) copies."""
        found = np.empty((len(rows), self.dim), np.float32)
        for place, row in enumerate(rows):
            found[place] = self._blocks[row // ROWS][row % ROWS]
        return found

    def cosines(self, query_D: np.ndarray, count: int) -> np.ndarray:
        """(count,) the cosine of each of the first `count` to the query."""
        found = np.empty(count, np.float32)
        for start in range(0, count, ROWS):
            inner_products(query_D, self._blocks[start // ROWS], found[start : start + ROWS])
        return found


def inner_products(query_D: np.ndarray, rows_ND: np.ndarray, out: np.ndarray) -> None:
    """Writes the inner products with the first len(out) rows, in one thread: numpy's wait for each other, for milliseconds where busy."""
    faiss.fvec_inner_products_ny(faiss.swig_ptr(out), faiss.swig_ptr(query_D), faiss.swig_ptr(rows_ND), len(query_D), len(out))
