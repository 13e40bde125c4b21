"""A first catalogue for a gateway, out of a workspace's tables: items, photos, and the log of events that the next training reads."""

import dataclasses
import datetime as dt
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.errors import BadWorkspace
from components.objects import ObjectStore
from components.progress import track
from components.serve.items import Item
from components.shards import shard_paths

SAME = tuple(field.name for field in dataclasses.fields(Item) if field.name in schema.LISTINGS.names and field.name != "category")


@dataclass(frozen=True)
class Seed:
    """Where the tables `listings` and `images` lie."""

    listings: Path
    images: Path

    def check(self) -> None:
        """Raises BadWorkspace where a table is not there."""
        for path in (self.listings, self.images):
            if not path.is_dir():
                raise BadWorkspace(f"{path} does not exist: a gateway begins with a catalogue; run `make demo` or `dvc repro` first")

    def items(self) -> Iterator[Item]:
        """Every listing that is not deleted, with its picture's size and statistics, shard by shard."""
        for path in shard_paths(self.listings):
            pictures = _pictures(self.images / path.name, ["image_id", "width", "height", "stats"])
            for row in pq.read_table(path, filters=[("status", "!=", "deleted")]).to_pylist():
                yield _item(row, pictures[row["image_id"]])

    def copy(self, store: ObjectStore, now: dt.datetime) -> None:
        """Puts each photo, and the rows of both tables as if they had been upserted, into the store. Done again, it changes nothing."""
        paths = shard_paths(self.listings)
        for path in track(paths, len(paths), "serve: copying the catalogue, shard"):
            listings, images = pq.read_table(path), pq.read_table(self.images / path.name, columns=["image_id", "data"])
            for row in images.to_pylist():
                store.put(f"pictures/{row['image_id'][:2]}/{row['image_id']}", row["data"])
            listings = listings.append_column("updated_at", listings["created_at"])
            for name, table in (("listings", listings), ("images", images)):
                store.put(f"events/{name}/dt={now:%Y-%m-%d}/seed-{_digest(listings)}-{path.name}", _parquet(table, schema.EVENTS[name]))


def _pictures(path: Path, columns: list[str]) -> dict[str, dict[str, Any]]:
    return {row["image_id"]: row for row in pq.read_table(path, columns=columns).to_pylist()}


def _item(row: dict[str, Any], picture: dict[str, Any]) -> Item:
    return Item(
        **{name: row[name] for name in SAME},
        category=tuple(row["category"]),
        updated_at=row["created_at"],
        width=picture["width"],
        height=picture["height"],
        stats=picture["stats"],
    )


def _digest(table: pa.Table) -> str:
    return hashlib.sha256("\n".join(table["item_id"].to_pylist()).encode()).hexdigest()[:12]


def _parquet(table: pa.Table, wanted: pa.Schema) -> bytes:
    target = io.BytesIO()
    pq.write_table(table.select(wanted.names).cast(wanted), target, compression="zstd")
    return target.getvalue()
