"""Rows of a shop's own table of listings, on disk by the shard of their item, with photos that came in the rows beside them."""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import BadPicture
from components.images import MAX_PICTURE_BYTES
from components.ingest.account import Account
from components.ingest.admit import text_of
from components.ingest.log import Log
from components.ingest.quarantine import utf8
from components.ingest.rows import RawListing
from components.ingest.spill import Chunks, RowSpill
from components.ingest.tables.columns import Said
from components.ingest.upserts import Row, distinct, newest
from components.ingest.window import Window, latest_of
from components.shards import shard_of

IN_ROW = "sha256:"  # begins the name of a photo whose bytes came in its row
Place = tuple[int, int]


@dataclass
class Listed:
    """The table as it is taken in. `written` is the day that counts as the one on which its rows were written, `fixed` what is said for
    columns that it lacks."""

    written: dt.date
    fixed: Mapping[str, str]
    scratch: Path
    num_shards: int
    account: Account = field(default_factory=Account)
    _photos: dict[str, Place] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows = RowSpill(self.scratch, self.num_shards)
        self._bytes = Chunks(self.scratch, 1)

    def take(self, num_rows: int, said: Said) -> None:
        """Puts the rows of a batch into their shards."""
        self.account.rows_in += num_rows
        columns = {name: _joined(held) if name == "category" else held[0] for name, held in said.items()}
        nothing = [None] * num_rows
        photos, keys = columns.pop("picture", nothing), columns.pop("image", nothing)
        for number in range(num_rows):
            fields = {**self.fixed, **{name: held[number] for name, held in columns.items()}}
            item_id = text_of(fields.get("item_id")) or ""
            self._rows.add(shard_of(utf8(item_id), self.num_shards), (fields, self._named(photos[number], keys[number])))

    def _named(self, photo: object, key: object) -> str:
        """The name under which the row's photo can be asked for. Bytes that came in the row win over a key."""
        if not isinstance(photo, bytes):
            return str(key or "")
        name = f"{IN_ROW}{hashlib.sha256(photo).hexdigest()}"
        if name not in self._sizes:
            self._sizes[name] = len(photo)
            if len(photo) <= MAX_PICTURE_BYTES:
                self._photos[name] = self._bytes.add(0, photo)
        return name

    def photo(self, name: str) -> bytes | None:
        """The bytes that came in a row; None where the name is no such one's. Raises BadPicture where they are too many."""
        if name in self._sizes and name not in self._photos:
            raise BadPicture("picture_too_many_bytes", f"{self._sizes[name]} bytes, limit {MAX_PICTURE_BYTES}")
        place = self._photos.get(name)
        return self._bytes.at(place) if place else None

    def current(self, window: Window, log: Log | None) -> Iterator[RawListing]:
        """For the door, in an order that neither files nor rows decide: each item's newest row, and every row at fault. The log is told
        of every item that rows name."""
        for index in range(self.num_shards):
            found = distinct(self._shard(index, window), self.account)
            if log:
                log.known.update(upsert.item_id for upsert in found if upsert.item_id)
            yield from newest(found, window, self.account, log.traffic.shown.__contains__ if log else _in_use)

    def _shard(self, index: int, window: Window) -> Iterator[Row]:
        for fields, picture_name in self._rows.shard(index):
            if self._is_later(fields, window):
                self.account.held_back += 1
            else:
                yield fields, picture_name, self.written

    def _is_later(self, fields: Mapping[str, object], window: Window) -> bool:
        """Whether the item was not there yet at as_of. Where rows say when they were written, that decides, and newest() knows it."""
        created = fields.get("created_at")
        return "updated_at" not in fields and isinstance(created, dt.datetime) and window.as_of < created <= latest_of(self.written)


def _in_use(item_id: str) -> bool:
    """Nothing is past retention where nobody logged what was shown."""
    return True


def _joined(levels: Sequence[Sequence[object]]) -> list[list[object]]:
    """Each row's names of all the columns that hold a category."""
    return [[name for held in row if isinstance(held, list) for name in held] for row in zip(*levels, strict=True)]
