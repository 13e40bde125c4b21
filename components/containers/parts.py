"""What a walk through a picture file finds, and the limits at which a walk gives up."""

import zlib
from dataclasses import dataclass, field

MAX_PARTS = 20_000
MAX_UNPACKED_BYTES = 4 * 1024 * 1024  # of all texts and the profile together
MAX_TEXT_BYTES = 1024 * 1024  # of one; Pillow's own limit


@dataclass
class Parts:
    """A picture file taken apart; a broken one as far as it could be followed.

    kind: JPEG, PNG, GIF or WEBP. pixels: the file as a decoder should see it. loose: comments, texts and metadata, one each. trailer:
    what follows the picture's end; whole: that end was found. profile: the ICC profile, empty where it cannot be unpacked, None where
    there is none. frames: of an animation; several: there are more photos behind the first (MPO). deep: 16 bits a channel. scans:
    passes over a JPEG. unpacked_bytes: of compressed texts and profile. bomb: why the walk was given up, "" where it was not.
    """

    kind: str
    pixels: bytes
    loose: list[bytes] = field(default_factory=list)
    trailer: bytes = b""
    whole: bool = False
    profile: bytes | None = None
    frames: int = 1
    several: bool = False
    deep: bool = False
    scans: int = 0
    unpacked_bytes: int = 0
    bomb: str = ""


class BombError(Exception):
    """The file costs far more to follow or unpack than a photo does."""


def inflated(packed: bytes, what: str, found: Parts) -> bytes:
    """The unpacked bytes, empty where they cannot be unpacked. Raises BombError above MAX_TEXT_BYTES, or MAX_UNPACKED_BYTES in all."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed, MAX_TEXT_BYTES)
    except zlib.error:
        return b""
    found.unpacked_bytes += len(unpacked)
    if unpacker.unconsumed_tail or found.unpacked_bytes > MAX_UNPACKED_BYTES:
        raise BombError(f"a {what} of {len(packed)} bytes unpacks to more than a picture needs")
    return unpacked


def sound_profile(profile: bytes) -> bool:
    """Whether an ICC profile's header and tag table fit its bytes (ICC.1:2022, 7.2 and 7.3)."""
    if len(profile) < 132 or int.from_bytes(profile[:4], "big") > len(profile) or profile[36:40] != b"acsp":
        return False
    num_tags = int.from_bytes(profile[128:132], "big")
    table = profile[132 : 132 + 12 * num_tags]
    tags = [table[at : at + 12] for at in range(0, len(table), 12)]
    ends = [int.from_bytes(tag[4:8], "big") + int.from_bytes(tag[8:12], "big") for tag in tags]
    return len(table) == 12 * num_tags and max(ends, default=0) <= len(profile)
