"""Broken picture files: sound ones of every format with bits, lengths, numbers and stretches changed. Seeded, so each can be made again."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from tests.picture_files import CONVERTED, REFUSED, animated, encoded, exif, profile, scene

XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
SIGNATURES = (
    b"\xff\xd8\xff\xe0",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xc4",
    b"IDAT",
    b"IEND",
    b"acTL",
    b"iCCP",
    b"\x21\xf9\4",
    b"ANMF",
    b"VP8L",
    b"PK\3\4",
)
PARTS = (b"IDAT", b"tEXt", b"zTXt", b"iCCP", b"PLTE", b"VP8 ", b"VP8X", b"EXIF", b"ALPH")
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)

Mutation = Callable[[bytes, np.random.Generator, Sequence[bytes]], bytes]


def seeds() -> dict[str, bytes]:
    """Sound files of every format and kind, and some that are refused for what they are, not for being broken."""
    told = {"icc_profile": profile(), "exif": exif(6, "text")}
    made = {
        "progressive": encoded(scene(), progressive=True, **told, comment=b"made by hand"),
        "restarts": encoded(scene(), restart_marker_blocks=2),
        "444": encoded(scene(), quality=98, subsampling=0),
        "progressive cmyk": encoded(scene().convert("CMYK"), progressive=True),
        "png told": encoded(scene(), "PNG", **told),
        "png grey alpha": encoded(scene().convert("LA"), "PNG"),
        "png 1 bit": encoded(scene().convert("1"), "PNG"),
        "webp told": encoded(scene(), "WEBP", **told, xmp=XMP),
        "webp alpha": encoded(scene().convert("RGBA"), "WEBP"),
        "webp lossless palette": encoded(scene().quantize(8).convert("RGB"), "WEBP", lossless=True),
        "gif interlaced": encoded(scene(), "GIF", interlace=1, comment=b"by hand"),
        **{f"animated {kind}": animated(kind) for kind in ("GIF", "WEBP", "PNG")},
        **{kind: REFUSED["picture_polyglot"][kind] for kind in ("jpeg and zip", "php in a png text", "page in a gif comment")},
    }
    return {kind: data for kind, (data, _) in CONVERTED.items()} | made


def flip_bits(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A few bits anywhere."""
    changed = bytearray(data)
    for at in rng.integers(len(changed), size=rng.integers(1, 12)):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flip_header(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A few bytes near the start, where sizes and tables are."""
    changed = bytearray(data)
    for at in rng.integers(min(len(changed), 200), size=rng.integers(1, 6)):
        changed[at] = int(rng.integers(256))
    return bytes(changed)


def cut(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """The beginning."""
    return data[: int(rng.integers(len(data)))]


def take_out(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """All but a stretch."""
    start, end = sorted(int(at) for at in rng.integers(len(data), size=2))
    return data[:start] + data[min(end, start + 300) :]


def repeat(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A stretch many times over."""
    start, end = sorted(int(at) for at in rng.integers(len(data), size=2))
    return data[:start] + data[start : min(end, start + 300)] * int(rng.integers(2, 60)) + data[start:]


def splice(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """The beginning of this file and the end of another."""
    other = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(len(data)))] + other[int(rng.integers(len(other))) :]


def insert(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """A stretch of another file put in."""
    other, at = others[int(rng.integers(len(others)))], int(rng.integers(len(data)))
    start = int(rng.integers(len(other)))
    return data[:at] + other[start : start + int(rng.integers(1, 200))] + data[at:]


def number(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """A number that is seldom meant, in 1, 2 or 4 bytes of either order: lengths, sizes and counts among them."""
    size, order = int(rng.choice([1, 2, 4])), ("big", "little")[int(rng.integers(2))]
    value = NUMBERS[int(rng.integers(len(NUMBERS)))] % (1 << 8 * size)
    at = int(rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 120)))
    return data[:at] + value.to_bytes(size, order) + data[at + size :]  # type: ignore[arg-type]


def signature(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """The start of a part where none is."""
    at = int(rng.integers(len(data)))
    sign = SIGNATURES[int(rng.integers(len(SIGNATURES)))]
    return data[:at] + sign + data[at + len(sign) * int(rng.integers(2)) :]


def part_length(data: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """The length of one part of the file, changed and nothing else."""
    marks = [
        at for sign in (b"IDAT", b"tEXt", b"zTXt", b"iCCP", b"PLTE", b"VP8 ", b"VP8X", b"EXIF", b"ALPH") if (at := data.find(sign)) >= 4
    ]
    marks += [at + 2 for at in range(2, min(len(data) - 4, 2000)) if data[at] == 0xFF and data[at + 1] >= 0xC0]
    at = marks[int(rng.integers(len(marks)))] if marks else int(rng.integers(len(data)))
    at = at - 4 if data[at : at + 4].isalnum() and not data.startswith(b"RIFF") else at
    size = 4 if data.startswith((b"\x89PNG", b"RIFF")) else 2
    return data[:at] + int(rng.integers(1 << 8 * size)).to_bytes(size, "big") + data[at + size :]


MUTATIONS: Sequence[Mutation] = (flip_bits, flip_header, cut, take_out, repeat, splice, insert, number, signature, part_length)


def mutated(number_of_file: int, seed: int, files: Sequence[bytes]) -> bytes:
    """File `number_of_file` of the series: one of the files with one to three mutations. PNG checksums are mended half of the time."""
    rng = np.random.default_rng([seed, number_of_file])
    data = files[int(rng.integers(len(files)))]
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if data:
            data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng, files)
    return mended(data) if rng.random() < 0.5 else data


def mended(data: bytes) -> bytes:
    """A PNG with right checksums, so that mutations get behind them; any other file as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        parts += [data[at : end - 4], zlib.crc32(data[at + 4 : end - 4]).to_bytes(4, "big")]
        at = end
    return b"".join(parts) + data[at:]
