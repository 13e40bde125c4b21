"""Items with their photos, as training, scoring and embedding read them."""

import concurrent.futures
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from components.contract import STATE
from components.images import to_square
from components.shards import read_shards, shard_paths

READ_ROWS = 1024

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


class Photos(Mapping[str, bytes]):
    """Encoded pictures by image_id, in order of id. They lie in an unnamed file, so that memory holds only those in use."""

    def __init__(self, pictures: Iterable[tuple[str, bytes]]) -> None:
        scratch = STATE / "tmp"
        self._file = tempfile.TemporaryFile(dir=scratch if scratch.is_dir() else None)  # noqa: SIM115 (it lives as long as the photos)
        places: dict[str, tuple[int, int]] = {}
        for image_id, data in pictures:
            if image_id not in places:
                places[image_id] = (self._file.tell(), len(data))
                self._file.write(data)
        self._file.flush()
        self._places = dict(sorted(places.items()))

    def __getitem__(self, image_id: str) -> bytes:
        start, size = self._places[image_id]
        return os.pread(self._file.fileno(), size, start)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True)
class InOrder(Sequence[bytes]):
    """Pictures in the order of `image_ids`, each read when it is asked for."""

    photos: Mapping[str, bytes]
    image_ids: Sequence[str]

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> "InOrder": ...

    def __getitem__(self, index: int | slice) -> "bytes | InOrder":
        if isinstance(index, slice):
            return InOrder(self.photos, self.image_ids[index])
        return self.photos[self.image_ids[index]]

    def __len__(self) -> int:
        return len(self.image_ids)


def read_photos(images: Path, image_ids: Iterable[str]) -> Photos:
    """Encoded pictures by image_id; ids that no shard holds are left out."""
    return Photos(_stored(images, pa.array(sorted(set(image_ids)), pa.string())))


def _stored(images: Path, wanted: pa.Array) -> Iterator[tuple[str, bytes]]:
    for path in shard_paths(images):
        for batch in pq.ParquetFile(path).iter_batches(READ_ROWS, columns=["image_id", "data"]):
            found = batch.filter(pa.compute.is_in(batch["image_id"], value_set=wanted))
            yield from zip(found["image_id"].to_pylist(), found["data"].to_pylist(), strict=True)


def squares(pictures: Sequence[bytes], side_px: int) -> np.ndarray:
    """uint8 (N, side, side, 3) in the pictures' order, decoded by the function that serving uses, on every core that is free to us.

    Raises BadPicture of the first picture that is bad.
    """
    found = np.empty((len(pictures), side_px, side_px, 3), np.uint8)

    def fill(row: int) -> None:
        found[row] = to_square(pictures[row], side_px)

    with concurrent.futures.ThreadPoolExecutor(min(num_cores(), max(1, len(pictures)))) as pool:
        for _ in pool.map(fill, range(len(pictures))):
            pass
    return found


def num_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, the next one being made in a thread while this one is used: decoding and numpy let go of the interpreter lock."""
    iterator, end = iter(items), object()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(next, iterator, end)
        while (item := upcoming.result()) is not end:
            upcoming = pool.submit(next, iterator, end)
            yield item  # type: ignore[misc]
