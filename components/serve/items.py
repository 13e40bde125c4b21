"""What the gateway holds of each listing, and what it asks for and answers with."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A listing as it was last upserted. `updated_at` decides between two versions; `stats` are schema.STATS of its picture."""

    item_id: str
    title: str
    category: tuple[str, ...]
    price: float
    currency: str
    status: str
    image_id: str
    created_at: dt.datetime
    updated_at: dt.datetime
    seller_id: str | None = None
    product_id: str | None = None
    description: str | None = None
    app_version: str | None = None
    width: int = 0
    height: int = 0
    stats: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """An item in one vector space: `vector` is (D,) float32 of unit length, `image_score` lies in [0, 1], higher is better."""

    item: Item
    vector: np.ndarray
    image_score: float


@dataclass(frozen=True, slots=True)
class Filters:
    """What an answer may hold. `category` is a path from the root, which its descendants match too; bounds of price are inclusive."""

    category: tuple[str, ...] = ()
    min_price: float | None = None
    max_price: float | None = None
    status: frozenset[str] = frozenset()

    def admit(self, item: Item) -> bool:
        """True where the item may stand in the answer."""
        return (
            item.category[: len(self.category)] == self.category
            and (self.min_price is None or item.price >= self.min_price)
            and (self.max_price is None or item.price <= self.max_price)
            and (not self.status or item.status in self.status)
        )


class Hit(NamedTuple):
    """A neighbour: its item, the cosine to the query in [-1, 1], and its Image Score in [0, 1]; higher is better in both."""

    item: Item
    cosine: float
    image_score: float
