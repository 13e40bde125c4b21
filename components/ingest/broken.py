"""Listings broken on purpose, so that quarantine has something to show."""

import dataclasses
import struct
import zlib
from collections.abc import Callable, Mapping

from components.ingest.rows import RawListing

BOMB_SIDE_PX = 30_000


def way_of(index: int, share: float) -> str | None:
    """How row `index` is broken, or None: `share` of the rows, evenly spread, each way in turn."""
    before, after = int(index * share), int((index + 1) * share)
    return WAYS[before % len(WAYS)] if after > before else None


def broken(listing: RawListing, way: str, id_before: str) -> RawListing:
    """The listing, broken that way. `id_before` is the item_id of the row before it."""
    return _BREAK[way](listing, id_before)


def bomb() -> bytes:
    """A PNG of about 70 bytes whose header promises 900 million pixels."""
    header = struct.pack(">IIBBBBB", BOMB_SIDE_PX, BOMB_SIDE_PX, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(64))) + _chunk(b"IEND", b"")


def pinpoint() -> bytes:
    """A valid PNG of one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0\x80\x80\x80")) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _with_picture(listing: RawListing, picture: bytes | None) -> RawListing:
    return dataclasses.replace(listing, picture=picture)


def _with_field(listing: RawListing, name: str, value: object) -> RawListing:
    return dataclasses.replace(listing, fields={**listing.fields, name: value})


def _dearer_than_nothing(listing: RawListing) -> float:
    price = listing.fields["price"]
    return -price if isinstance(price, float) else -1.0


_BREAK: Mapping[str, Callable[[RawListing, str], RawListing]] = {
    "missing_picture": lambda listing, _: _with_picture(listing, None),
    "truncated_jpeg": lambda listing, _: _with_picture(listing, (listing.picture or b"")[: len(listing.picture or b"") * 2 // 5]),
    "duplicate_id": lambda listing, id_before: _with_field(listing, "item_id", id_before),
    "negative_price": lambda listing, _: _with_field(listing, "price", _dearer_than_nothing(listing)),
    "one_pixel": lambda listing, _: _with_picture(listing, pinpoint()),
    "empty_title": lambda listing, _: _with_field(listing, "title", " "),
    "bomb": lambda listing, _: _with_picture(listing, bomb()),
    "zero_bytes": lambda listing, _: _with_picture(listing, b""),
}
WAYS = tuple(_BREAK)
