"""A generation in memory: a base, the changes since, and columns over both. Slots below base.count lie in the base, others in changes."""

import math
from dataclasses import dataclass

import numpy as np

from components.serve.index.embedded.base import NOTHING, Base, Found
from components.serve.index.embedded.changes import Changes
from components.serve.index.embedded.columns import Columns
from components.serve.items import Filters, Hit, Item, Placed

INLINE_VALUES = 2_000_000  # multiplications that take well under a millisecond
INLINE_SLOTS = 200_000  # whose filter columns are compared in well under a millisecond
NO_FILTERS = Filters()


@dataclass(frozen=True)
class View:
    """One moment of a generation: the first len(alive) slots, and which of them were alive."""

    base: Base
    changes: Changes
    columns: Columns
    alive: np.ndarray
    whole: bool  # nothing in the base is dead

    def search(self, query_D: np.ndarray, k: int, filters: Filters, exact: bool) -> list[Hit]:
        """The k nearest alive items that the filters admit, best first, equals by item_id."""
        mask = self.alive if filters == NO_FILTERS else self.columns.admitted(filters, self.alive)
        cosines, slots = self._of_base(query_D, k, mask, exact)
        if len(mask) > self.base.count:
            found = (cosines, slots), self._of_changes(query_D, k, mask)
            cosines, slots = (np.concatenate(part) for part in zip(*found, strict=True))
            best = np.argsort(-cosines, kind="stable")[:k]
            cosines, slots = cosines[best], slots[best]
        return self._hits(slots, cosines)

    def _of_base(self, query_D: np.ndarray, k: int, mask: np.ndarray, exact: bool) -> Found:
        within = mask[: self.base.count]
        if not len(within):
            return NOTHING
        filtered = mask is not self.alive
        if exact or not self.base.num_cells:
            return self.base.exactly(query_D, k, within if filtered or not self.whole else None)
        if filtered:
            return self.base.among(query_D, k, within)
        return self.base.nearest(query_D, k, None if self.whole else within)

    def _of_changes(self, query_D: np.ndarray, k: int, mask: np.ndarray) -> Found:
        rows = np.flatnonzero(mask[self.base.count :])
        if not len(rows):
            return NOTHING
        cosines = self.changes.cosines(query_D, len(mask) - self.base.count)[rows]
        best = np.argpartition(-cosines, k - 1)[:k] if k < len(rows) else slice(None)
        return cosines[best], rows[best] + self.base.count

    def _hits(self, slots: np.ndarray, cosines: np.ndarray) -> list[Hit]:
        """Of cosines that fall; equals are put in the order of their ids."""
        items, scores = self.columns.items, self.columns.scores[slots].tolist()
        hits = [
            Hit(there(items[slot]), cosine if -1.0 <= cosine <= 1.0 else math.copysign(1.0, cosine), score)
            for slot, cosine, score in zip(slots.tolist(), cosines.tolist(), scores, strict=True)
        ]
        if len({hit.cosine for hit in hits}) < len(hits):
            hits.sort(key=lambda hit: (-hit.cosine, hit.item.item_id))
        return hits

    def item(self, slot: int) -> Item:
        """The item of a slot that is alive."""
        return there(self.columns.items[slot])

    def vectors(self, slots: np.ndarray) -> np.ndarray:
        """(len(slots), D) of rising slots."""
        in_base = int(np.searchsorted(slots, self.base.count))
        parts = [self.base.index.reconstruct_batch(slots[:in_base])] if in_base else []
        return np.concatenate([*parts, self.changes.gather(slots[in_base:] - self.base.count)])


class Memory:
    """The newest state, written by one thread: the one that reads it without a view."""

    def __init__(self, base: Base, columns: Columns, dim: int) -> None:
        self.base, self.columns, self.changes = base, columns, Changes(dim)
        self.num_dead_in_base = columns.num_dead

    def put(self, row: Placed) -> None:
        """The row can be found from now on."""
        self._leaves(row.item.item_id)
        self.columns.append(row.item, row.image_score)
        self.changes.append(row.vector)

    def remove(self, item_id: str) -> bool:
        """True where the item was there."""
        self._leaves(item_id)
        return self.columns.remove(item_id)

    def _leaves(self, item_id: str) -> None:
        self.num_dead_in_base += self.columns.slot_of.get(item_id, self.base.count) < self.base.count

    @property
    def num_changes(self) -> int:
        """How much a search pays for what was written since the base was built."""
        return max(self.changes.count, self.num_dead_in_base)

    def get(self, item_id: str) -> Placed | None:
        """The item, or None."""
        if (slot := self.columns.slot_of.get(item_id)) is None:
            return None
        item, within = there(self.columns.items[slot]), slot - self.base.count
        vector = self.base.vector(slot) if within < 0 else self.changes.vector(within)
        return Placed(item, vector, float(self.columns.scores[slot]))

    def view(self, *, kept: bool) -> View:
        """This moment; to be used at once, in this thread, unless `kept`."""
        alive = self.columns.alive[: self.columns.count]
        return View(self.base, self.changes, self.columns, alive.copy() if kept else alive, not self.num_dead_in_base)

    def is_dear(self, k: int, filters: Filters, exact: bool) -> bool:
        """True where the search takes about a millisecond or more."""
        rows = (self.base.count if exact else self.base.compared(k)) + self.changes.count
        return rows * self.changes.dim > INLINE_VALUES or (filters != NO_FILTERS and self.columns.count > INLINE_SLOTS)


def there(item: Item | None) -> Item:
    """The item of a slot that is alive."""
    assert item is not None  # a slot without an item is never alive
    return item
