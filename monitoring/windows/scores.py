"""Image Scores by item. I items, N rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from monitoring.windows.keys import NO_NAME, named


@dataclass(frozen=True)
class Scores:
    """(I,) items' numbers, rising, and float32 (I,) their scores."""

    item: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, item_ids: pa.ChunkedArray, scores: np.ndarray) -> "Scores":
        """Each item's last score; rows without an item or a score say nothing."""
        item = named(item_ids)
        here = np.flatnonzero((item != NO_NAME) & np.isfinite(scores))[::-1]
        found, last = np.unique(item[here], return_index=True)
        return cls(found, np.asarray(scores[here][last], np.float32))

    def find(self, item_N: np.ndarray) -> np.ndarray:
        """float32 (N,) scores of items by their numbers, NaN where there is none."""
        if not len(self.item):
            return np.full(len(item_N), np.nan, np.float32)
        place = np.minimum(np.searchsorted(self.item, item_N), len(self.item) - 1)
        return np.asarray(np.where(self.item[place] == item_N, self.score[place], np.nan), np.float32)
