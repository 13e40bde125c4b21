"""JPEG files by their segments (ITU-T T.81, annex B)."""

import re

from components.containers.parts import MAX_PARTS, BombError, Parts

MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
END, SCAN, COMMENT = 0xD9, 0xDA, 0xFE
ALONE = (0x01, 0xD8)  # markers without a segment
PROFILE, SEVERAL = b"ICC_PROFILE\0", b"MPF\0"


def walk(data: bytes, found: Parts) -> None:
    """Fills in loose, trailer, whole, profile, several and scans. Raises BombError for more segments than any camera writes."""
    at, profile = 2, []
    for _ in range(MAX_PARTS):
        marker = MARKER.search(data, at)
        if marker is None:
            break
        code, at = data[marker.start() + 1], marker.end()
        if code == END:
            found.whole, found.trailer = True, data[at:]
            break
        if code in ALONE:
            continue
        start, at = at + 2, at + max(int.from_bytes(data[at : at + 2], "big"), 2)
        if at > len(data):
            break
        found.scans += code == SCAN
        if code == COMMENT or 0xE0 <= code <= 0xEF:
            found.loose.append(data[start:at])
            found.several |= data.startswith(SEVERAL, start)
            if data.startswith(PROFILE, start):
                profile.append(data[start + len(PROFILE) : at])
    else:
        raise BombError(f"more than {MAX_PARTS} segments")
    if profile:
        found.profile = b"".join(part[2:] for part in sorted(profile, key=lambda part: part[:1]))
