"""Listings as they were upserted: of an item's rows the newest counts, whatever file it came in and in whatever order."""

import datetime as dt
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from components import schema
from components.ingest.account import Account
from components.ingest.admit import misplaced, text_of
from components.ingest.quarantine import utf8
from components.ingest.rows import RawListing, Rejection
from components.ingest.spill import TableSpill
from components.ingest.window import Window, latest_of
from components.shards import shard_of

SPILLED = schema.EVENTS["listings"].append(pa.field("_day", pa.date32()))
TEXTS = [field.name for field in SPILLED if pa.types.is_string(field.type)]
GONE = ("sold", "deleted")

Row = tuple[dict[str, object], str, dt.date]
"""What a row says, the name of its picture, and the day on which it was written."""


@dataclass(frozen=True)
class Upsert:
    """One row, by what it says; where nobody says when a row was written, its fields hold no updated_at.

    `day` is the last one on which it was written, where it came more than once.
    """

    fields: Mapping[str, object]
    picture_name: str
    day: dt.date
    digest: str

    @property
    def item_id(self) -> str | None:
        """The item it is about, or None where it does not say."""
        return text_of(self.fields.get("item_id"))

    @property
    def updated_at(self) -> dt.datetime | None:
        """When the shop wrote it."""
        at = self.fields.get("updated_at")
        return at if isinstance(at, dt.datetime) else None

    @property
    def rank(self) -> tuple[dt.datetime, str]:
        """The newest of an item's rows ranks highest; between two of one moment the digest decides."""
        return self.updated_at or dt.datetime.min.replace(tzinfo=dt.UTC), self.digest

    def raw(self, fault: Rejection | None = None) -> RawListing:
        """The row for the door."""
        return RawListing(self.fields, None, self.picture_name, fault)


def spilled(files: Iterable[tuple[dt.date, pa.Table]], account: Account, scratch: Path, num_shards: int) -> TableSpill:
    """Every row in the shard of its item."""
    spill = TableSpill(scratch, SPILLED, num_shards)
    for day, table in files:
        account.rows_in += table.num_rows
        keys = (text_of(_text(value)) or "" for value in table["item_id"].cast(pa.binary()).to_pylist())
        shard_N = np.array([shard_of(utf8(key), num_shards) for key in keys], np.int64)
        spill.add(table.append_column("_day", pa.array([day] * table.num_rows, pa.date32())), shard_N)
    return spill


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def distinct(rows: Iterable[Row], account: Account) -> list[Upsert]:
    """The rows, each once, by what they say; every further one is counted as repeated."""
    found: dict[str, Upsert] = {}
    for fields, picture_name, day in rows:
        digest = hashlib.sha256(json.dumps([fields, picture_name], sort_keys=True, default=str).encode()).hexdigest()
        account.repeated += digest in found
        if digest not in found or found[digest].day < day:
            found[digest] = Upsert(fields, picture_name, day, digest)
    return [found[digest] for digest in sorted(found)]


def rows_of(table: pa.Table) -> Iterator[Row]:
    """Each row's columns, text that is not UTF-8 with its bytes escaped; its picture is looked up by image_id."""
    for name in TEXTS:
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.binary()))
    bytes_lists = pa.list_(pa.binary())
    for name in ("category", "simulated"):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(bytes_lists))
    for row in table.to_pylist():
        day = row.pop("_day")
        fields = {name: _decoded(value) for name, value in row.items()}
        yield fields, str(fields["image_id"] or ""), day


def _decoded(value: object) -> object:
    if isinstance(value, bytes):
        return _text(value)
    return [_decoded(one) for one in value] if isinstance(value, list) else value


def newest(upserts: Iterable[Upsert], window: Window, account: Account, shown: Callable[[str], bool]) -> Iterator[RawListing]:
    """For the door: each item's newest row until as_of, and every row that has a fault of its own, in order of item and content.

    Older rows are superseded. Of two of the same moment that differ one is a conflict. What was sold or deleted before the window, and
    not shown in it, is past retention.
    """
    items: dict[str, list[Upsert]] = defaultdict(list)
    for upsert in upserts:
        if fault := _fault(upsert, window):
            yield upsert.raw(fault)
        elif upsert.item_id is None:
            yield upsert.raw()
        elif upsert.rank[0] > window.as_of:
            account.held_back += 1
        else:
            items[upsert.item_id].append(upsert)
    for item_id in sorted(items):
        yield from _current(item_id, items[item_id], window, account, shown)


def _fault(upsert: Upsert, window: Window) -> Rejection | None:
    if "updated_at" not in upsert.fields:
        return None
    if upsert.updated_at is None:
        return Rejection("time_missing", "no updated_at")
    fault = misplaced(upsert.updated_at, window.opened, latest_of(upsert.day))
    return Rejection(fault.reason, f"updated_at {fault.detail}") if fault else None


def _current(item_id: str, rows: list[Upsert], window: Window, account: Account, shown: Callable[[str], bool]) -> Iterator[RawListing]:
    first, *others = sorted(rows, key=lambda row: row.rank, reverse=True)
    for other in others:
        if other.updated_at == first.updated_at:
            of_then = f" of {first.updated_at.isoformat()}" if first.updated_at else ""
            detail = f"{item_id!r} has another row{of_then}, which says something else and is kept"
            yield other.raw(Rejection("id_conflict", detail))
        else:
            account.superseded += 1
    if first.fields.get("status") in GONE and first.updated_at and first.updated_at < window.start and not shown(item_id):
        account.past_retention += 1
    else:
        yield first.raw()
