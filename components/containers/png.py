"""PNG files by their chunks (W3C PNG, third edition)."""

import zlib

from components.containers.parts import MAX_PARTS, BombError, Parts, inflated

START = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
SAYS_WHICH_WAY_UP = (b"eXIf", b"tEXt", b"iTXt", b"zTXt")
FRAME = b"fdAT"


def walk(data: bytes, found: Parts) -> None:
    """Fills in everything that a PNG can have. Raises BombError for too many chunks or one that expands too far.

    `pixels` lacks profiles, timestamps and damaged texts: Pillow refuses the whole picture for them. Sound texts come first in it,
    so that the orientation is known before the pixels are.
    """
    kept, said, at = [], [], 8
    for _ in range(MAX_PARTS):
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < end:
            break
        body = b"" if name == b"IDAT" else data[at + 8 : end - 4]
        if name in PIXELS:
            kept.append(data[at:end])
        elif name in SAYS_WHICH_WAY_UP and _sound(name, body, data[end - 4 : end], found):
            said.append(data[at:end])
        if name not in PIXELS and name != FRAME:
            found.loose.append(body)
            _note(name, body, found)
        at = end
        if name == b"IEND":
            found.whole, found.trailer = True, data[at:]
            break
    else:
        raise BombError(f"more than {MAX_PARTS} chunks")
    found.deep = data[12:16] == b"IHDR" and data[24:25] == b"\x10"
    found.pixels = b"".join((data[:8], *kept[:1], *said, *kept[1:], b"" if found.whole else data[at:]))


def _note(name: bytes, body: bytes, found: Parts) -> None:
    if name == b"acTL":
        found.frames = int.from_bytes(body[:4], "big")
    elif name == b"iCCP":
        found.profile = inflated(body.partition(b"\0")[2][1:], "colour profile", found)


def _sound(name: bytes, body: bytes, checksum: bytes, found: Parts) -> bool:
    if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(checksum, "big"):
        return False
    rest = body.partition(b"\0")[2]
    if name == b"zTXt":
        inflated(rest[1:], "text", found)
        return rest[:1] == b"\0"
    if name == b"iTXt":
        if rest[:1] == b"\1":
            inflated(rest[2:].split(b"\0", 2)[-1], "text", found)
        return rest[:2] in (b"\0\0", b"\1\0")
    return True
