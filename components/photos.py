"""Items with their photos, as training, scoring and embedding read them."""

import concurrent.futures
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.images import to_square
from components.shards import read_shards, shard_paths

T = TypeVar("T")

ITEM_COLUMNS = ["item_id", "image_id", "title", "category", "product_id", "seller_id"]


@dataclass(frozen=True)
class Items:
    """Listings of one or more split sides, in order of item_id; all sequences have one entry an item."""

    item_ids: list[str]
    image_ids: list[str]
    titles: list[str]
    categories: list[str]
    products: list[str | None]
    owners: list[str]

    def __len__(self) -> int:
        return len(self.item_ids)


def read_items(listings: Path, splits: Path, sides: Iterable[str]) -> Items:
    """The items of the named split sides. An item's owner is its seller, else its product, else its split group."""
    wanted = set(sides)
    side_of = {row["item_id"]: row for row in read_shards(splits).to_pylist() if row["split"] in wanted}
    rows = [row for row in read_shards(listings, ITEM_COLUMNS).to_pylist() if row["item_id"] in side_of]
    rows.sort(key=lambda row: row["item_id"])
    return Items(
        item_ids=[row["item_id"] for row in rows],
        image_ids=[row["image_id"] for row in rows],
        titles=[row["title"] for row in rows],
        categories=[" > ".join(row["category"]) for row in rows],
        products=[row["product_id"] for row in rows],
        owners=[owner_of(row["seller_id"], row["product_id"], side_of[row["item_id"]]["group"]) for row in rows],
    )


def owner_of(seller_id: str | None, product_id: str | None, group: str) -> str:
    """Who a photo belongs to, so that a seller's own photos never count as finds: seller, else product, else split group.

    Marked by kind: seller 12 and product 12 are not one owner.
    """
    if seller_id:
        return f"seller {seller_id}"
    return f"product {product_id}" if product_id else f"group {group}"


def read_photos(images: Path, image_ids: Iterable[str]) -> dict[str, bytes]:
    """Encoded pictures by image_id. Holds them all in memory, encoded."""
    wanted = pa.array(sorted(set(image_ids)), pa.string())
    found: dict[str, bytes] = {}
    for path in shard_paths(images):
        table = pq.read_table(path, columns=["image_id", "data"], filters=pa.compute.field("image_id").isin(wanted))
        found.update(zip(table["image_id"].to_pylist(), table["data"].to_pylist(), strict=True))
    return found


def squares(pictures: Sequence[bytes], side_px: int) -> np.ndarray:
    """uint8 (N, side, side, 3), decoded by the function that serving uses."""
    if not pictures:
        return np.zeros((0, side_px, side_px, 3), np.uint8)
    return np.stack([to_square(data, side_px) for data in pictures])


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, the next one being made in a thread while this one is used: decoding and numpy let go of the interpreter lock."""
    iterator, end = iter(items), object()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(next, iterator, end)
        while (item := upcoming.result()) is not end:
            upcoming = pool.submit(next, iterator, end)
            yield item  # type: ignore[misc]
