"""The shop's events as the gateway's store holds them now: the files of `ingest`, without a snapshot that pins them."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from components.ingest.files import EventFiles, event_file
from components.ingest.snapshot import FileDigest
from components.objects import ObjectStore

EVENTS = "events"


@dataclass
class ShopEvents(EventFiles):
    """Files of one table of events. `set_aside` holds those that could not be read as tables, so far."""

    store: ObjectStore
    url: str = EVENTS
    files: dict[str, FileDigest] = field(default_factory=dict)

    @classmethod
    def of(cls, store: ObjectStore, table: str, first: dt.date = dt.date.min, last: dt.date = dt.date.max) -> "ShopEvents":
        """The table's files that were written from `first` to `last`."""
        found = cls(store)
        for one in store.stored(f"{EVENTS}/{table}"):
            file = event_file(one.key.removeprefix(f"{EVENTS}/"))
            if file and first <= file.day <= last:
                found.files[file.name] = FileDigest(sha256="", bytes=one.num_bytes)
        return found

    def rows(self, table: str) -> Iterator[pa.Table]:
        """The rows of each file of the table, as schema.EVENTS has its columns; bytes that are no text are replaced."""
        for _, rows in self.tables(table):
            yield _legible(rows)

    def _pinned(self, name: str) -> bytes:
        """The bytes as they are now; none where the file has gone, which is then set aside."""
        return self.store.get(f"{EVENTS}/{name}") or b""


def _legible(rows: pa.Table) -> pa.Table:
    try:
        rows.validate(full=True)
    except pa.ArrowInvalid:
        for place, column in enumerate(rows.schema):
            if pa.types.is_string(column.type):
                texts = [_text(one) for one in rows[column.name].cast(pa.binary()).to_pylist()]
                rows = rows.set_column(place, column, pa.array(texts, pa.string()))
            elif pa.types.is_list(column.type):
                lists = rows[column.name].cast(pa.list_(pa.binary())).to_pylist()
                made = [None if one is None else [_text(name) for name in one] for one in lists]
                rows = rows.set_column(place, column, pa.array(made, column.type))
    return rows


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")
