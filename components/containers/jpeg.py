"""JPEG files by their segments (ITU-T T.81, annex B)."""

import re

from components.containers.parts import MAX_PARTS, BombError, Parts

MAX_TABLE_BYTES = 4 * 1024 * 1024
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
END, SCAN, TABLE, COMMENT = 0xD9, 0xDA, 0xDB, 0xFE
ALONE = (0x01, 0xD8)  # markers without a segment
PROFILE, SEVERAL = b"ICC_PROFILE\0", b"MPF\0"
ENTRIES = (b"Exif\0\0", b"Photoshop 3.0\0")  # tables too: Pillow reads each entry, and copies all Exif so far with each segment


def walk(data: bytes, found: Parts) -> None:
    """Fills in loose, trailer, whole, profile, several and scans. Raises BombError for more segments or tables than any camera writes."""
    at, profile, table_bytes = 2, [], 0
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
        if code == TABLE or data.startswith(ENTRIES, start):
            table_bytes += at - start
            if table_bytes > MAX_TABLE_BYTES:
                raise BombError(f"more than {MAX_TABLE_BYTES} bytes of Exif, Photoshop resources and quantization tables")
        if code == COMMENT or 0xE0 <= code <= 0xEF:
            found.loose.append(data[start:at])
            found.several |= data.startswith(SEVERAL, start)
            if data.startswith(PROFILE, start):
                profile.append(data[start + len(PROFILE) : at])
    else:
        raise BombError(f"more than {MAX_PARTS} segments")
    if profile:
        found.profile = b"".join(part[2:] for part in sorted(profile, key=lambda part: part[:1]))
