"""Items as bytes, each sealed with a checksum: SQLite finds a torn page by its structure, not a flipped bit in a row."""

import dataclasses
import datetime as dt
import json
import sys
import zlib
from typing import Any

import numpy as np

from components.errors import BadState
from components.serve.items import Item, Placed

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
US = dt.timedelta(microseconds=1)
FIELDS = tuple(field.name for field in dataclasses.fields(Item))
SEAL_BYTES = 4
ALIKE = ("currency", "status")  # kept once in memory, as are names of categories and statistics


def microseconds(time: dt.datetime) -> int:
    """Microseconds since 1970 of a time in UTC, exactly."""
    return (time - EPOCH) // US


def sealed(data: bytes) -> bytes:
    """The data behind its CRC-32."""
    return zlib.crc32(data).to_bytes(SEAL_BYTES, "little") + data


def opened(kept: bytes) -> bytes:
    """What was sealed. Raises BadState where it is not what it was."""
    data = kept[SEAL_BYTES:]
    if zlib.crc32(data).to_bytes(SEAL_BYTES, "little") != kept[:SEAL_BYTES]:
        raise BadState("a row of the index's database is damaged")
    return data


def to_bytes(row: Placed) -> bytes:
    """The item and its score, without the vector."""
    kept: dict[str, Any] = {name: getattr(row.item, name) for name in FIELDS}
    kept["created_at"], kept["updated_at"] = microseconds(row.item.created_at), microseconds(row.item.updated_at)
    return sealed(json.dumps([kept, row.image_score], ensure_ascii=False, separators=(",", ":")).encode())


def from_bytes(kept: bytes) -> tuple[Item, float]:
    """The item and its score. Raises BadState."""
    data = opened(kept)
    try:
        fields, score = json.loads(data)
        for name in ("created_at", "updated_at"):
            fields[name] = EPOCH + fields[name] * US
        for name in ALIKE:
            fields[name] = sys.intern(fields[name])
        fields["category"] = tuple(map(sys.intern, fields["category"]))
        fields["stats"] = fields["stats"] and {sys.intern(name): value for name, value in fields["stats"].items()}
        return Item(**fields), score
    except (ValueError, TypeError, KeyError) as error:
        raise BadState(f"a row of the index's database is not one that this version wrote: {error}") from None


def vector_to_bytes(vector: np.ndarray) -> bytes:
    """(D,) float32 as it lies in memory."""
    return sealed(vector.tobytes())


def vector_from_bytes(kept: bytes) -> np.ndarray:
    """(D,) float32. Raises BadState."""
    return np.frombuffer(opened(kept), np.float32)
