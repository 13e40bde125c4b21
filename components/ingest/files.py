"""Files of events, one read at a time and held to the snapshot. A file that is no table of its kind is set aside whole."""

import datetime as dt
import difflib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import parquet_bytes, schema
from components.images import MAX_PICTURE_BYTES
from components.ingest.rows import Rejection
from components.ingest.snapshot import FileDigest, changed_since, gone_since
from components.objects import ObjectStore

LAYOUT = re.compile(rf"({'|'.join(schema.EVENTS)})/dt=(\d{{4}}-\d{{2}}-\d{{2}})/[^/]+\.parquet")
KINDS = ((pa.types.is_string, pa.types.is_large_string), (pa.types.is_binary, pa.types.is_large_binary), (pa.types.is_boolean,))
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_000_000
NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


@dataclass(frozen=True)
class EventFile:
    """A file's name in the source, its table, and the day on which it was written."""

    name: str
    table: str
    day: dt.date


def event_file(name: str) -> EventFile | None:
    """The file as its name places it, or None for one that is not laid out as TABLE/dt=YYYY-MM-DD/NAME.parquet."""
    found = LAYOUT.fullmatch(name)
    try:
        return EventFile(name, found[1], dt.date.fromisoformat(found[2])) if found else None
    except ValueError:
        return None


class NoTableError(Exception):
    """A file is no table of its kind, and is set aside whole."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.rejection = Rejection(reason, detail)


@dataclass
class EventFiles:
    """The files that the snapshot pins. `set_aside` holds those that could not be read as tables, so far."""

    store: ObjectStore
    url: str
    files: Mapping[str, FileDigest]
    set_aside: dict[str, Rejection] = field(default_factory=dict)

    def tables(self, table: str) -> Iterator[tuple[dt.date, pa.Table]]:
        """Each file of the table with the day it was written, as schema.EVENTS has its columns. Raises BadData where a file is not the
        one that was pinned."""
        for name in sorted(self.files):
            file = event_file(name)
            if file and file.table == table:
                try:
                    rows = read_table(self._pinned(name), table)
                except NoTableError as fault:
                    self.set_aside[name] = fault.rejection
                else:
                    yield file.day, rows

    def _pinned(self, name: str) -> bytes:
        data = self.store.get(name)
        if data is None:
            raise gone_since(name, self.url)
        if hashlib.sha256(data).hexdigest() != self.files[name].sha256:
            raise changed_since(name, self.url)
        return data

    def write_set_aside(self, path: Path) -> None:
        """Writes the files set aside."""
        write_set_aside(path, self.set_aside, self.files, self.store.get)


def write_set_aside(
    path: Path, set_aside: Mapping[str, Rejection], files: Mapping[str, FileDigest], bytes_of: Callable[[str], bytes | None]
) -> None:
    """Writes the files set aside as schema.QUARANTINE, with their bytes where these are not too many."""
    with pq.ParquetWriter(path, schema.QUARANTINE, compression="zstd") as writer:
        for name, why in sorted(set_aside.items()):
            digest = files[name]
            detail = f"{why.detail}; {digest.bytes} bytes, sha256 {digest.sha256}"
            data = bytes_of(name) if digest.bytes <= MAX_PICTURE_BYTES else None
            row = {"key": name, "reason": why.reason, "detail": detail, "row": "", "data": data}
            writer.write_table(pa.Table.from_pylist([row], schema.QUARANTINE))


def read_table(data: bytes, table: str) -> pa.Table:
    """The parquet file's rows with the columns of schema.EVENTS[table], null where they may be absent and are."""
    try:
        found = parquet_bytes.table_of(data)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NoTableError("file_unreadable", f"no parquet file, or half of one: {' '.join(str(error).split())[:200]}") from None
    return pa.table([_column(found, column) for column in schema.EVENTS[table]], schema=schema.EVENTS[table])


def _column(found: pa.Table, wanted: pa.Field) -> pa.ChunkedArray:
    if wanted.name not in found.column_names:
        if wanted.nullable:
            return pa.chunked_array([pa.nulls(found.num_rows, wanted.type)])
        near = difflib.get_close_matches(wanted.name, found.column_names, n=1, cutoff=0.5)
        hint = f" (nearest: {near[0]!r})" if near else ""
        raise NoTableError("column_missing", f"no column {wanted.name!r}{hint}; found: {', '.join(found.column_names)[:500]}")
    if found.column_names.count(wanted.name) > 1:
        raise NoTableError("column_type", f"more than one column {wanted.name!r}")
    column = found[wanted.name]
    if not _fits(column.type, wanted.type):
        raise NoTableError("column_type", f"{wanted.name} is {column.type}, not {wanted.type}")
    try:
        column = column.cast(options=pc.CastOptions(target_type=wanted.type, allow_time_truncate=True))
    except (pa.ArrowException, ValueError) as error:
        raise NoTableError("column_type", f"{wanted.name} holds values that are no {wanted.type}: {str(error)[:200]}") from None
    return _in_reach(column) if pa.types.is_timestamp(wanted.type) else column


def _in_reach(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times beyond the years 1 to 9999, which Python cannot say, as the nearest that it can: either way they are at fault."""
    early_enough = pc.min_element_wise(times.cast(pa.int64()), LAST_US, skip_nulls=False)
    return pc.max_element_wise(early_enough, FIRST_US, skip_nulls=False).cast(times.type)


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether the types differ in width alone, or the column is all null. A time without a zone does not fit one with."""
    if pa.types.is_null(found):
        return True
    if pa.types.is_dictionary(found):
        return _fits(found.value_type, wanted)
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(found) or pa.types.is_large_list(found)) and _fits(found.value_type, wanted.value_type)
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(found) and found.tz is not None)
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(found))
    if pa.types.is_floating(wanted):
        return any(is_kind(found) for is_kind in NUMBERS)
    return any(any(is_kind(found) for is_kind in kind) and any(is_kind(wanted) for is_kind in kind) for kind in KINDS)
