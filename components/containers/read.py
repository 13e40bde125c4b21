"""Which of the four formats a file is, and its parts."""

from collections.abc import Callable, Mapping

from components.containers import gif, jpeg, png, webp
from components.containers.parts import BombError, Parts

WALKS: Mapping[str, Callable[[bytes, Parts], None]] = {"JPEG": jpeg.walk, "PNG": png.walk, "GIF": gif.walk, "WEBP": webp.walk}


def kind_of(data: bytes) -> str | None:
    """JPEG, PNG, GIF or WEBP by the first bytes, else None; a file's name says nothing."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(png.START):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    return "WEBP" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None


def parts_of(data: bytes) -> Parts | None:
    """The file taken apart, or None where it is none of the four formats."""
    kind = kind_of(data)
    if kind is None:
        return None
    found = Parts(kind, data)
    try:
        WALKS[kind](data, found)
    except BombError as why:
        found.bomb = str(why)
    return found
