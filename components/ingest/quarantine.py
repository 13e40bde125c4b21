"""Rows, pictures and files that were turned away: kept with what they held, in data/quarantine/, a table for each kind."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.ingest.admit import text_of
from components.ingest.rows import RawListing, Rejection

TABLES = ("listings", "images", "impressions", "clicks", "files")
BATCH_BYTES = 64 * 1024 * 1024
Bytes = Callable[["Rejected"], bytes | None]


@dataclass(frozen=True)
class Rejected:
    """A raw row with the reason it was turned away. `number` counts rows in the source's order, from 1; where a source has no order that
    a person could follow, rows are not `numbered`."""

    number: int
    raw: RawListing
    why: Rejection
    numbered: bool = True

    @property
    def of_picture(self) -> bool:
        """True where the row was sound and its picture was not."""
        return self.why.reason.startswith("picture_")

    @property
    def key(self) -> str:
        """The row's item_id, else what it can be told by: its number, or a digest of what it holds."""
        return utf8(text_of(self.raw.fields.get("item_id")) or self._place)

    @property
    def _place(self) -> str:
        return f"row {self.number}" if self.numbered else f"row {hashlib.sha256(self._text.encode()).hexdigest()[:12]}"

    @property
    def _text(self) -> str:
        given = {**({"row": self.number} if self.numbered else {}), **self.raw.fields, "image": self.raw.picture_name}
        return utf8(json.dumps(given, ensure_ascii=False, default=str))

    def row(self, data: bytes | None) -> dict[str, object]:
        """The row of schema.QUARANTINE."""
        return {"key": self.key, "reason": self.why.reason, "detail": utf8(self.why.detail), "row": self._text, "data": data}


def utf8(text: str) -> str:
    """The text with what is not UTF-8 written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def write(folder: Path, rejected: Iterable[Rejected], bytes_of: Bytes) -> None:
    """Writes listings.parquet (faults of the row) and images.parquet (faults of the picture), by number, and the other tables empty."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rejected, key=lambda one: one.number)
    _write(folder / "listings.parquet", [one for one in ordered if not one.of_picture], lambda one: None)
    _write(folder / "images.parquet", [one for one in ordered if one.of_picture], bytes_of)
    for name in TABLES[2:]:
        _write(folder / f"{name}.parquet", [], lambda one: None)


def _write(path: Path, rejected: Sequence[Rejected], bytes_of: Bytes) -> None:
    """One table, a row group for about every 64 MiB of pictures, so that a folder full of broken ones fits in memory."""
    with pq.ParquetWriter(path, schema.QUARANTINE, compression="zstd") as writer:
        rows: list[dict[str, object]] = []
        held = 0
        for one in rejected:
            data = bytes_of(one)
            rows.append(one.row(data))
            held += len(data or b"")
            if held >= BATCH_BYTES:
                writer.write_table(pa.Table.from_pylist(rows, schema.QUARANTINE))
                rows, held = [], 0
        writer.write_table(pa.Table.from_pylist(rows, schema.QUARANTINE))
