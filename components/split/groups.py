"""What must stay on one side: listings joined by seller, product and near-duplicate picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.split.duplicates import components

Tie = Literal["seller", "product", "duplicate"]
NAMED_AFTER = ("seller", "product", "item")


@dataclass(frozen=True)
class Listing:
    """What ties a listing to others. `duplicate_group` is -1 where its picture is like no other's."""

    item_id: str
    seller_id: str | None
    product_id: str | None
    duplicate_group: int


def groups_of(listings: Sequence[Listing], ties: Sequence[Tie]) -> list[str]:
    """The group of each listing, in order: listings that share a tie, directly or through others, have one group.

    Named after its smallest seller, else its smallest product, else its smallest item, so that a new listing rarely renames it.
    A listing without a seller is held by its product or duplicates, one with no tie stands alone.
    """
    nodes: dict[tuple[str, object], int] = {}
    edges = [
        (row, len(listings) + nodes.setdefault(tie, len(nodes))) for row, listing in enumerate(listings) for tie in _ties(listing, ties)
    ]
    label = components(len(listings) + len(nodes), np.array(edges, np.int64).reshape(-1, 2))[: len(listings)].tolist()
    names: dict[int, tuple[int, str]] = {}
    for component, listing in zip(label, listings, strict=True):
        names[component] = min(names.get(component, (len(NAMED_AFTER), "")), _name(listing, ties))
    return [names[component][1] for component in label]


def _ties(listing: Listing, ties: Sequence[Tie]) -> list[tuple[str, object]]:
    known = {
        "seller": listing.seller_id or None,
        "product": listing.product_id or None,
        "duplicate": listing.duplicate_group if listing.duplicate_group >= 0 else None,
    }
    return [(tie, known[tie]) for tie in ties if known[tie] is not None]


def _name(listing: Listing, ties: Sequence[Tie]) -> tuple[int, str]:
    held = {"item": listing.item_id, **dict(_ties(listing, ties))}
    return next((rank, f"{kind}:{held[kind]}") for rank, kind in enumerate(NAMED_AFTER) if kind in held)
