"""Records as bytes of the local log, and back as tables: what was let in can be written out, and makes the same file each time."""

import datetime as dt
import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from components import schema
from components.errors import BadData
from components.serve.problems import Refused

PREDICTIONS, ANSWERS = "predictions", "answers"


def _events(name: str) -> pa.Schema:
    return pa.schema([*schema.EVENTS[name], *schema.EVENTS_BESIDE[name]])


# Photos before the listings that show them, answers before the pages that show them, pages before their clicks: as tables are flushed.
TABLES: Mapping[str, pa.Schema] = {
    "images": _events("images"),
    "listings": _events("listings"),
    ANSWERS: schema.ANSWERS,
    "impressions": _events("impressions"),
    "clicks": _events("clicks"),
    PREDICTIONS: schema.PREDICTIONS,
}
DROPPABLE = (PREDICTIONS, ANSWERS)  # nobody waits for them: where there is no room they are dropped, and counted
COUNTED = (ANSWERS, "impressions", "clicks")  # what the canary's judge counts
BLOBS = {"images": "data", PREDICTIONS: "vector", ANSWERS: "hit_scores"}
OVERHEAD = 64  # bytes that a row costs beside its own
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Record:
    """An event, as rows of one table. `event_id` is None where it cannot come twice. `stamped` says that `ts` is ours, no part of what was
    sent."""

    event_id: str | None
    table: str
    rows: Sequence[Mapping[str, object]]
    stamped: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record as it is kept: of each row its size, JSON of all but its blob, and the blob; a digest of its id (16 bytes) and of what it
    says (8 bytes)."""

    table: str
    rows: Sequence[tuple[int, bytes, bytes | None]]
    event_id: str | None
    key: bytes
    said: bytes

    @property
    def num_bytes(self) -> int:
        """What it counts for against the bounds."""
        return sum(size for size, _, _ in self.rows)


def encode(record: Record) -> Encoded:
    """The record as bytes. Raises Refused invalid where its table could not hold it."""
    rows, said = [], hashlib.blake2b(digest_size=8)
    for row in record.rows:
        plain, blob = _split(record.table, row)
        kept = _json(plain)
        rows.append((len(kept) + len(blob or b"") + OVERHEAD, kept, blob))
        said.update(_json({name: value for name, value in plain.items() if name != "ts"}) if record.stamped else kept)
        said.update(blob or b"")
    return Encoded(record.table, rows, record.event_id, _key(record.event_id or ""), said.digest())


def _split(table: str, row: Mapping[str, object]) -> tuple[dict[str, object], bytes | None]:
    """The row's plain values, and its blob."""
    fields, blob_name = _FIELDS[table], BLOBS.get(table)
    if unknown := row.keys() - fields.keys():
        raise Refused("invalid", f"{table} has no column {min(unknown)!r}")
    plain: dict[str, object] = {}
    blob: bytes | None = None
    for name, (fitted, required) in fields.items():
        value = row.get(name)
        if value is None:
            if required:
                raise Refused("invalid", f"{table}: no {name}")
        elif fitted is _text and type(value) is str:  # most columns of most rows: no call for them
            plain[name] = value
        elif name == blob_name:
            blob = _blob(value, name)
        else:
            plain[name] = _fitted(value, name, fitted)
    return plain, blob


def _key(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode(errors="surrogatepass"), digest_size=16).digest()


def _json(row: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError as error:  # half of a surrogate pair, which no file can hold
        raise Refused("invalid", f"a text that is no Unicode: {error}") from None


def _blob(value: object, name: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 1 and np.isfinite(value).all():
        return value.astype(np.float16).tobytes()
    raise Refused("invalid", f"{name}: neither bytes nor a vector of finite numbers")


def _fitted(value: object, name: str, fitted: Callable[[object], object]) -> object:
    try:
        return fitted(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused("invalid", f"{name}: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{type(value).__name__} is no list")
    return [_text(one) for one in value]


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} is neither true nor false")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not math.isfinite(value):
        raise TypeError(f"{str(value)[:40]} is no finite number")
    return float(value)


def _whole(bits: int) -> Callable[[object], int]:
    def fitted(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise TypeError(f"{str(value)[:40]} is no whole number of {bits} bits")
        return value

    return fitted


def _microseconds(value: object) -> int:
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise TypeError(f"{str(value)[:40]} is no time with a zone")
    return (value - EPOCH) // MICROSECOND


def _fit(kind: pa.DataType) -> Callable[[object], object]:
    if pa.types.is_string(kind):
        return _text
    if pa.types.is_boolean(kind):
        return _truth
    if pa.types.is_timestamp(kind):
        return _microseconds
    if pa.types.is_integer(kind):
        return _whole(kind.bit_width)
    if pa.types.is_floating(kind):
        return _number
    return _texts


_FIELDS = {name: {field.name: (_fit(field.type), not field.nullable) for field in wanted} for name, wanted in TABLES.items()}


def table_of(name: str, rows: Sequence[bytes], blobs: Sequence[bytes | None]) -> pa.Table:
    """The rows as their table. Raises BadData where one does not fit, as rows of an older version may not."""
    wanted = TABLES[name]
    plain = pa.schema([_as_json(field) for field in wanted if field.name != BLOBS.get(name)])
    lines = b"\n".join(rows)
    try:
        found = pa.json.read_json(
            io.BytesIO(lines),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=max(2**20, 2 * max(map(len, rows)) + 2)),
            parse_options=pa.json.ParseOptions(explicit_schema=plain, unexpected_field_behavior="ignore"),
        )
        columns = {field.name: found[field.name].cast(field.type) for field in wanted if field.name in plain.names}
        if name in BLOBS:
            columns[BLOBS[name]] = _blobs(blobs, wanted.field(BLOBS[name]).type)
        table = pa.table([columns[field.name] for field in wanted], schema=wanted)
    except (pa.ArrowException, ValueError) as error:
        raise BadData(f"{name}: rows do not fit their table: {' '.join(str(error).split())[:200]}") from None
    if table.num_rows != len(rows) or any(not field.nullable and table[field.name].null_count for field in wanted):
        raise BadData(f"{name}: a row lacks a column that must be there")
    return table


def _as_json(field: pa.Field) -> pa.Field:
    return field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field


def _blobs(blobs: Sequence[bytes | None], kind: pa.DataType) -> pa.Array:
    if pa.types.is_binary(kind):
        return pa.array(blobs, kind)
    lengths = [len(blob or b"") // 2 for blob in blobs]
    values = pa.array(np.frombuffer(b"".join(blob or b"" for blob in blobs), np.float16))
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), values)


def parquet_of(table: pa.Table) -> bytes:
    """The table as a parquet file, whose bytes depend on the table alone."""
    pq.write_table(table, sink := io.BytesIO(), compression="zstd")
    return sink.getvalue()
