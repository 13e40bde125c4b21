"""What filters and answers need of every slot, in memory. A slot is one version of an item; it is never used again.

Slots are only appended, and only their `alive` changes, so whoever noted a count and copied `alive` sees one moment for as long as wanted.
"""

from dataclasses import dataclass, field

import numpy as np

from components.serve.items import Filters, Item

FIRST_ROOM = 256


@dataclass
class Codes:
    """Small numbers for categories and statuses, and the categories at or below each path."""

    categories: dict[tuple[str, ...], int] = field(default_factory=dict)
    below: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)

    def of_category(self, path: tuple[str, ...]) -> int:
        """The path's number, which is new where the path is."""
        if (code := self.categories.get(path)) is None:
            code = self.categories[path] = len(self.categories)
            for depth in range(len(path) + 1):
                self.below.setdefault(path[:depth], []).append(code)
        return code

    def of_status(self, status: str) -> int:
        """The status's number, which is new where the status is."""
        return self.statuses.setdefault(status, len(self.statuses))


class Columns:
    """Items, scores and what filters compare, by slot; and where each item that is there lies."""

    def __init__(self) -> None:
        self.items: list[Item | None] = []
        self.slot_of: dict[str, int] = {}
        self.codes = Codes()
        self.scores = np.zeros(FIRST_ROOM, np.float32)
        self.prices = np.zeros(FIRST_ROOM, np.float64)
        self.categories = np.zeros(FIRST_ROOM, np.int32)
        self.statuses = np.zeros(FIRST_ROOM, np.int32)
        self.alive = np.zeros(FIRST_ROOM, bool)

    @property
    def count(self) -> int:
        """How many slots there are, the dead included."""
        return len(self.items)

    @property
    def num_dead(self) -> int:
        """How many slots hold a version that was replaced or deleted."""
        return len(self.items) - len(self.slot_of)

    def append(self, item: Item, score: float) -> None:
        """The item in the next slot, from where it is found from now on."""
        slot = self._next(item)
        self.scores[slot], self.prices[slot] = score, item.price
        self.categories[slot], self.statuses[slot] = self.codes.of_category(item.category), self.codes.of_status(item.status)
        self.remove(item.item_id)
        self.alive[slot] = True
        self.slot_of[item.item_id] = slot

    def append_dead(self) -> None:
        """The next slot stands for a vector that is no item's any more."""
        self._next(None)

    def remove(self, item_id: str) -> bool:
        """True where the item was there."""
        slot = self.slot_of.pop(item_id, None)
        if slot is None:
            return False
        self.alive[slot] = False
        return True

    def _next(self, item: Item | None) -> int:
        if self.count == len(self.alive):
            for name in ("scores", "prices", "categories", "statuses", "alive"):
                setattr(self, name, np.concatenate([getattr(self, name), np.zeros_like(getattr(self, name))]))
        self.items.append(item)
        return self.count - 1

    def admitted(self, filters: Filters, among: np.ndarray) -> np.ndarray:
        """(N,) True at the slots of `among`, which holds the first N, that the filters admit."""
        mask, count = among.copy(), len(among)
        if filters.category:
            codes = list(self.codes.below.get(filters.category, ()))  # before their number is asked: another thread may add to both
            mask &= _marked(codes, len(self.codes.categories))[self.categories[:count]]
        if filters.min_price is not None:
            mask &= self.prices[:count] >= filters.min_price
        if filters.max_price is not None:
            mask &= self.prices[:count] <= filters.max_price
        if filters.status:
            known = [self.codes.statuses[status] for status in filters.status if status in self.codes.statuses]
            mask &= _marked(known, len(self.codes.statuses))[self.statuses[:count]]
        return mask


def _marked(codes: list[int], count: int) -> np.ndarray:
    """(count,) True at the codes; one place at least, so that slots without an item may be looked up."""
    marks = np.zeros(max(count, 1), bool)
    marks[codes] = True
    return marks
