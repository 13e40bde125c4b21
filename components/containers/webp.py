"""WebP files by their chunks (RFC 9649)."""

from components.containers.parts import MAX_PARTS, BombError, Parts

PIXELS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")
PROFILE, FRAME = b"ICCP", b"ANMF"


def walk(data: bytes, found: Parts) -> None:
    """Fills in loose, trailer, whole, profile and frames. Raises BombError for more chunks than an animation has."""
    end = 8 + int.from_bytes(data[4:8], "little")
    found.whole, found.trailer = end <= len(data), data[end + end % 2 :]
    at, frames = 12, 0
    for _ in range(MAX_PARTS):
        if at + 8 > min(end, len(data)):
            break
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        frames += name == FRAME
        if name not in PIXELS:
            found.loose.append(data[at + 8 : at + 8 + size])
        if name == PROFILE:
            found.profile = found.loose[-1]
        at += 8 + size + size % 2
    else:
        raise BombError(f"more than {MAX_PARTS} chunks")
    found.frames = max(frames, 1)
