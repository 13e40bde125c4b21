"""Which other format bytes are of: the whole of a file that is no picture, or something that rides in a picture."""

import re
from collections.abc import Sequence

from components.containers.parts import Parts

STARTS: Sequence[tuple[int, bytes, str]] = (
    (0, b"%PDF-", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (0, b"\xca\xfe\xba\xbe", "a program (Java or Mach-O)"),
    (0, b"#!/", "a script"),
    (0, b"%!PS", "a PostScript program"),
)
PICTURE_STARTS: Sequence[tuple[int, bytes, str]] = (
    (0, b"II*\0", "a TIFF or a camera's raw file"),
    (0, b"MM\0*", "a TIFF or a camera's raw file"),
    (0, b"BM", "a BMP"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (4, b"JXL ", "a JPEG XL"),
    (4, b"jP  ", "a JPEG 2000"),
    (0, b"RIFF", "a RIFF file other than WebP"),
    (4, b"ftypheic", "a HEIC"),
    (4, b"ftypheix", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftypavis", "an AVIF"),
    (4, b"ftyp", "an MP4 or MOV video"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)
MARKUP = (
    (re.compile(rb"<!doctype html|<html|<head|<body|<title", re.I), "an HTML page"),
    (re.compile(rb"<svg", re.I), "an SVG"),
    (re.compile(rb"<\?php|<\?=", re.I), "a PHP script"),
    (re.compile(rb"<script", re.I), "a script"),
    (re.compile(rb"^\s*<\?xml|^\s*<\w", re.I), "an XML document"),
    (re.compile(rb"^\s*[{\[]"), "a JSON document"),
)
# Long enough that a photo's bytes hold none of them by chance; in lower case.
WITHIN: Sequence[tuple[bytes, str]] = (
    (b"<?php", "a PHP script"),
    (b"<script", "a script"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"%pdf-1.", "a PDF"),
    (b"%pdf-2.", "a PDF"),
    (b"#!/bin/", "a script"),
    (b"#!/usr/", "a script"),
    (b"rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"pk\x03\x04\x0a\0", "a ZIP archive"),
    (b"pk\x03\x04\x14\0", "a ZIP archive"),
    (b"pk\x03\x04\x2d\0", "a ZIP archive"),
    (b"\x7felf\x01\x01\x01", "a program (ELF)"),
    (b"\x7felf\x02\x01\x01", "a program (ELF)"),
    (b"this program cannot be run in dos mode", "a program (Windows)"),
)
ZIP_END, ZIP_END_BYTES, ZIP_ENTRY = b"PK\x05\x06", 22, b"PK\x01\x02"
MAX_ZIP_COMMENT = 65_535
SHOWN_BYTES = 1024
PADDING = b"\0 \t\r\n"


def seems_to_be(data: bytes) -> str | None:
    """What a file that is none of the four formats is, with its article, or None where nobody knows."""
    if not data.strip(b"\0"):
        return "nothing but zero bytes"
    if name := _by_start(data, (*STARTS, *PICTURE_STARTS)) or _windows_program(data):
        return name
    shown = data[:SHOWN_BYTES].removeprefix(b"\xef\xbb\xbf")
    try:
        shown.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(shown) - 3:
            return None
    markup = next((name for pattern, name in MARKUP if pattern.search(shown)), None)
    return markup or (None if b"\0" in shown else "a text")


def hidden(data: bytes, parts: Parts) -> str | None:
    """What else the picture file is, with its article: in its comments, texts and metadata, or behind its end.

    Phones put more photos, films and tables of their own behind a photo's end: what is of no format below passes.
    """
    behind = parts.trailer.lstrip(PADDING)
    for part in (behind, *parts.loose):
        if name := _begins(part) or _begins(part.partition(b"\0")[2]):
            return name
    lowered = b"\n".join((*parts.loose, behind)).lower()
    if name := next((name for sign, name in WITHIN if sign in lowered), None):
        return name
    if _zip_ends(data):
        return "a ZIP archive"
    return "a script" if _comment_opens(data, parts.kind) and b"*/" in lowered else None


def _begins(part: bytes) -> str | None:
    if name := _by_start(part, STARTS) or _windows_program(part):
        return name
    return next((name for pattern, name in MARKUP[:4] if pattern.match(part)), None)


def _by_start(data: bytes, starts: Sequence[tuple[int, bytes, str]]) -> str | None:
    return next((name for at, sign, name in starts if data.startswith(sign, at)), None)


def _windows_program(data: bytes) -> str | None:
    at = int.from_bytes(data[60:64], "little")
    return "a program (Windows)" if data.startswith(b"MZ") and data.startswith(b"PE\0\0", at) else None


def _zip_ends(data: bytes) -> bool:
    """Whether a ZIP reader, which looks from the end of a file, would find an archive."""
    at = data.rfind(ZIP_END, max(0, len(data) - ZIP_END_BYTES - MAX_ZIP_COMMENT))
    size = int.from_bytes(data[at + 12 : at + 16], "little")
    return at >= size > 0 and data.startswith(ZIP_ENTRY, at - size)


def _comment_opens(data: bytes, kind: str) -> bool:
    """Whether the length or width that follows the signature reads as the start of a comment in JavaScript."""
    return data.startswith(b"/*", {"JPEG": 4, "GIF": 6}.get(kind, len(data)))
