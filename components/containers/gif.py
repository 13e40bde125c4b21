"""GIF files by their blocks (GIF89a)."""

from collections.abc import Iterator

from components.containers.parts import MAX_PARTS, BombError, Parts

MAX_SUB_BLOCKS = 400_000
EXTENSION, FRAME, END = 0x21, 0x2C, 0x3B
CONTROL = 0xF9


def walk(data: bytes, found: Parts) -> None:
    """Fills in pixels, loose, trailer, whole and frames. Raises BombError for more blocks than a picture of 32 MiB needs.

    `pixels` holds the first frame alone: comments and further frames cost a decoder time and decide nothing.
    """
    at = 13 + _colours(data, 10)
    start, control, first = data[:at], b"", b""
    found.frames = 0
    steps = iter(range(MAX_SUB_BLOCKS))
    for _ in range(MAX_PARTS):
        kind, begin = data[at : at + 1], at
        if kind == bytes([FRAME]):
            found.frames += 1
            at = _end(data, at + 11 + _colours(data, at + 9), steps)
            first = first or data[begin:at]
        elif kind == bytes([EXTENSION]):
            at = _end(data, at + 2, steps)
            if data[begin + 1 : begin + 2] != bytes([CONTROL]):
                found.loose.append(_text(data[begin + 2 : at]))
            elif not first:
                control = data[begin:at]
        else:
            found.whole = kind == bytes([END])
            break
    else:
        raise BombError(f"more than {MAX_PARTS} blocks")
    found.trailer = data[at + 1 :] if found.whole else b""
    found.pixels = start + control + first + (bytes([END]) if found.whole or found.frames > 1 else b"")


def _colours(data: bytes, at: int) -> int:
    """Bytes of the colour table that the flags at `at` announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end(data: bytes, at: int, steps: Iterator[int]) -> int:
    """Where the chain of sub-blocks at `at` ends; beyond the data where it is cut."""
    for _ in steps:
        size = data[at] if at < len(data) else 0
        at += 1 + size
        if not size:
            return at
    raise BombError(f"more than {MAX_SUB_BLOCKS} sub-blocks")


def _text(chain: bytes) -> bytes:
    """The bytes of a chain of sub-blocks without their lengths."""
    parts, at = [], 0
    while at < len(chain):
        parts.append(chain[at + 1 : at + 1 + chain[at]])
        at += 1 + chain[at]
    return b"".join(parts)
