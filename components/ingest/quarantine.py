"""Rows and pictures that were turned away: counted, kept with their bytes, and too many of them stop the run."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.errors import BadData
from components.ingest.admit import Rejection, text_of
from components.ingest.rows import RawListing

BATCH_BYTES = 64 * 1024 * 1024
Bytes = Callable[["Rejected"], bytes | None]


@dataclass(frozen=True)
class Rejected:
    """A raw row (`number` from 1, in the source's order) with the reason it was turned away."""

    number: int
    raw: RawListing
    why: Rejection

    @property
    def of_picture(self) -> bool:
        """True where the row was sound and its picture was not."""
        return self.why.reason.startswith("picture_")

    @property
    def key(self) -> str:
        """The row's item_id, or its number where it has none."""
        return _utf8(text_of(self.raw.fields.get("item_id")) or f"row {self.number}")

    def row(self, data: bytes | None) -> dict[str, object]:
        """The row of schema.QUARANTINE."""
        given = {"row": self.number, **self.raw.fields, "image": self.raw.picture_name}
        text = json.dumps(given, ensure_ascii=False, default=str)
        return {"key": self.key, "reason": self.why.reason, "detail": _utf8(self.why.detail), "row": _utf8(text), "data": data}


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def counts(rejected: Iterable[Rejected]) -> dict[str, int]:
    """Rows by reason, sorted by name."""
    return dict(sorted(Counter(one.why.reason for one in rejected).items()))


def write(folder: Path, rejected: Iterable[Rejected], bytes_of: Bytes) -> None:
    """Writes listings.parquet (faults of the row), images.parquet (faults of the picture) and an empty impressions.parquet, by number."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rejected, key=lambda one: one.number)
    _write(folder / "listings.parquet", [one for one in ordered if not one.of_picture], lambda one: None)
    _write(folder / "images.parquet", [one for one in ordered if one.of_picture], bytes_of)
    _write(folder / "impressions.parquet", [], lambda one: None)


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


def too_many(rejected: Sequence[Rejected], rows_in: int, max_share: float, kept: Path) -> BadData:
    """The error that stops the run: how many, the limit, why, the first one, where they are and what to do."""
    first = min(rejected, key=lambda one: one.number)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in Counter(counts(rejected)).most_common(5))
    return BadData(
        f"{len(rejected):,} of {rows_in:,} listings were quarantined (limit {100 * max_share:g} %): {reasons}. "
        f"First: {first.key[:100]} ({first.why.reason}: {_utf8(first.why.detail)[:200]}). They are in {kept}; "
        f"see docs/quarantine.md before raising ingest.max_quarantine_share."
    )
