"""The admitted listings as a catalogue: completed by the simulator, shown to its shoppers, and drawn as a sheet."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice, zip_longest
from pathlib import Path

import pyarrow as pa

from components import schema
from components.contact_sheet import contact_sheet
from components.ingest.admit import Listing
from components.ingest.market import MarketConfig, Truth, fill_missing
from components.ingest.rows import CatalogueItem
from components.shards import read_shards

SHEET_ITEMS, SHEET_COLUMNS = 60, 10
COLUMNS = ["item_id", "title", "category", "price", "currency", "seller_id", "image_id", "simulated"]


def completed(listing: Listing, market: MarketConfig) -> Listing:
    """The listing with simulated values where nobody gave any; `simulated` names their columns, sorted."""
    filled, made_up = fill_missing(listing, market)
    created_at = filled["created_at"]
    if isinstance(created_at, str):
        filled["created_at"] = datetime.fromisoformat(created_at)
    return {**filled, "simulated": sorted({*names_of(listing["simulated"]), *made_up})}


def names_of(value: object) -> list[str]:
    """A column that holds a list of names, such as category, as one; empty for anything else."""
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def catalogue_of(listings: Path) -> list[Listing]:
    """The columns of the written listings that the rest of ingest asks for, by item_id."""
    rows: list[Listing] = read_shards(listings, COLUMNS).sort_by("item_id").to_pylist()
    return rows


def item_of(listing: Listing, truth: Truth | None) -> CatalogueItem:
    """The listing as shoppers see it."""
    seller = listing["seller_id"]
    return CatalogueItem(
        item_id=str(listing["item_id"]),
        title=str(listing["title"]),
        category=tuple(names_of(listing["category"])),
        price=float(str(listing["price"])),
        seller_id=None if seller is None else str(seller),
        quality=truth.quality if truth else None,
    )


def truth_table(truths: Iterable[Truth | None]) -> pa.Table:
    """What is known for certain, as schema.TRUTH; nothing about real photos, so no rows then."""
    rows = [
        {"item_id": one.item_id, "quality": one.quality, "kind": one.kind, "defects": [{"name": n, "strength": s} for n, s in one.defects]}
        for one in truths
        if one
    ]
    return pa.Table.from_pylist(rows, schema.TRUTH)


def spread(listings: Sequence[Listing], count: int) -> list[Listing]:
    """At most `count` listings, the leaf categories taking turns, each in an order that only the ids decide."""
    groups: dict[str, list[Listing]] = defaultdict(list)
    for listing in sorted(listings, key=lambda one: hashlib.sha256(str(one["item_id"]).encode()).digest()):
        groups["/".join(names_of(listing["category"]))].append(listing)
    turns = zip_longest(*(groups[name] for name in sorted(groups)))
    chosen = list(islice((one for one in chain.from_iterable(turns) if one is not None), count))
    return sorted(chosen, key=lambda one: (names_of(one["category"]), str(one["item_id"])))


def caption(listing: Listing, truth: Truth | None) -> str:
    """Leaf category, and what the simulator did to the photo; for a real photo its price, if that is real too."""
    leaf = names_of(listing["category"])[-1]
    if truth is None:
        return leaf if "price" in names_of(listing["simulated"]) else f"{leaf} {listing['price']:g} {listing['currency']}"
    faults = " ".join(f"{name} {strength:.1f}" for name, strength in truth.defects)
    return f"{leaf} {truth.quality:.2f} {faults}"


def sheet_of(catalogue: Sequence[Listing], truths: Mapping[object, Truth | None], picture_of: Callable[[str], bytes]) -> bytes:
    """PNG of about 60 listings, the leaf categories taking turns."""
    chosen = spread(catalogue, SHEET_ITEMS)
    return contact_sheet([(picture_of(str(one["item_id"])), caption(one, truths[one["item_id"]])) for one in chosen], SHEET_COLUMNS)
