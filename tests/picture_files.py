"""Picture files of every kind that a marketplace is sent, sound and not, made here byte by byte or by Pillow. Deterministic."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image, ImageCms, ImageDraw

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
XMP_TURNED = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
PNG_START = b"\x89PNG\r\n\x1a\n"


def scene(width: int = 96, height: int = 72, number: int = 0) -> Image.Image:
    """A red ellipse on the left, a blue box on the right; each number is another picture."""
    picture = Image.new("RGB", (width, height), (200, 190 - number % 100, 170))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((width // 12, height // 8, width // 2 - 4, height * 7 // 8), fill=(210, 30 + number % 60, 30))
    draw.rectangle((width // 2 + 4, height // 4, width * 11 // 12, height * 3 // 4), fill=(30, 60, 200))
    return picture


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The picture as a file."""
    picture.save(sink := io.BytesIO(), kind, **options)
    return sink.getvalue()


def exif(orientation: int = 6, description: str = "") -> Image.Exif:
    """EXIF that says how the camera was held."""
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010E] = description
    return made


def profile() -> bytes:
    """A sound sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int, depth: int, colour: int, interlaced: int = 0) -> bytes:
    """Signature and IHDR."""
    return PNG_START + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def png_of(pixels: np.ndarray, *, interlaced: bool = False, before: bytes = b"") -> bytes:
    """A PNG from (H, W) or (H, W, 3) of uint8 or uint16, without filters. `before` are chunks that come before the pixels."""
    height, width = pixels.shape[:2]
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [pixels]
    lines = (line for part in passes if part.size for line in part)
    raw = b"".join(b"\0" + line.astype(line.dtype.newbyteorder(">")).tobytes() for line in lines)
    header = png_header(width, height, 8 * pixels.dtype.itemsize, 2 if pixels.ndim == 3 else 0, int(interlaced))
    return header + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """The PNG with chunks put behind its IHDR."""
    return png[:33] + b"".join(chunks) + png[33:]


def deep(picture: Image.Image) -> np.ndarray:
    """The picture's levels spread over 16 bits."""
    return np.asarray(picture).astype(np.uint16) * 257


def palette_with_transparency() -> bytes:
    """A palette PNG whose background is clear."""
    picture = scene().quantize(16)
    return encoded(picture, "PNG", transparency=picture.getpixel((0, 0)))


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The JPEG with segments put behind its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def ycck() -> bytes:
    """A CMYK JPEG as Photoshop writes it: inverted, black apart, the other three in YCbCr."""
    inks = 255 - np.asarray(scene())
    luma = np.asarray(Image.fromarray(inks).convert("YCbCr"))
    inks = np.concatenate([255 - luma, np.zeros_like(luma[..., :1])], axis=2)  # Pillow inverts what it writes
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\2" + data[at + 1 :]


def plain_cmyk() -> bytes:
    """A CMYK JPEG of no Adobe program: not inverted, and without Adobe's segment."""
    inks = 255 - np.asarray(scene().convert("CMYK"))  # Pillow inverts what it writes
    data = encoded(Image.fromarray(inks, "CMYK"), quality=95)
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def phone_mpo() -> bytes:
    """Two photos in one file, as stereo and portrait modes write them."""
    return encoded(scene(), "MPO", save_all=True, append_images=[scene(number=9)])


def motion_photo() -> bytes:
    """A JPEG with a film behind it."""
    return encoded(scene()) + struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + bytes(range(256)) * 40


def samsung_trailer() -> bytes:
    """A JPEG with Samsung's table of extra data behind it."""
    body = b"\0\0\x01\x0aImage_UTC_Data1700000000000"
    table = b"SEFH" + struct.pack("<IIHHII", 106, 1, 0, 0x0A01, len(body), len(body))
    return encoded(scene()) + body + table + struct.pack("<I", len(table)) + b"SEFT"


def turned_at_the_end() -> bytes:
    """A PNG whose EXIF comes behind the pixels."""
    png = encoded(scene(), "PNG")
    return png[:-12] + chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0")) + png[-12:]


def zipped() -> bytes:
    """A ZIP archive of one text."""
    with zipfile.ZipFile(sink := io.BytesIO(), "w") as archive:
        archive.writestr("note.txt", "hello " * 20)
    return sink.getvalue()


def animated(kind: str) -> bytes:
    """Three frames, as GIF, WEBP or PNG."""
    frames = [scene(number=40 * n) for n in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=80)


def webp_of_size(width: int, height: int) -> bytes:
    """A lossy WebP whose header promises that size."""
    data = bytearray(encoded(scene(), "WEBP"))
    at = data.index(b"\x9d\x01\x2a") + 3
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_of_size(width: int, height: int) -> bytes:
    """A GIF whose header promises that size."""
    data = bytearray(encoded(scene(), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header promises that size."""
    data = bytearray(encoded(scene()))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last pass stands there `count` times."""
    data = encoded(scene(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


XMP_CHUNK = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_TURNED)

# What is kept out, by the code it is kept out under. Each is a file named .jpg in a shop's folder.
REFUSED: dict[str, dict[str, bytes]] = {
    "picture_empty": {"nothing": b""},
    "picture_wrong_format": {
        "error page": b"<!DOCTYPE html><html><body>404 not found</body></html>",
        "pdf": b"%PDF-1.7\n1 0 obj",
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
        "tiff": encoded(scene(), "TIFF"),
        "bmp": encoded(scene(), "BMP"),
        "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "zip": zipped(),
        "json": b'{"error": "expired"}',
        "text": b"Not Found\n",
        "php": b"<?php echo 1;",
        "film": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "zeros": bytes(5000),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ",
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\3",
        "windows program": b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0",
    },
    "picture_unreadable": {
        "noise": np.random.default_rng(1).bytes(3000),
        "broken header": with_segments(encoded(scene()), segment(0xC0, b"\x0c" + bytes(10))),
    },
    "picture_truncated": {
        "jpeg half": encoded(scene())[:-200],
        "jpeg header": encoded(scene(), exif=exif())[:120],
        "jpeg start": b"\xff\xd8\xff\xe0",
        "png half": encoded(scene(), "PNG")[:200],
        "png header": encoded(scene(), "PNG")[:20],
        "webp half": encoded(scene(), "WEBP")[:200],
        "webp header": encoded(scene(), "WEBP")[:14],
        "gif half": encoded(scene(), "GIF")[:-150],
        "gif header": encoded(scene(), "GIF")[:8],
        "gif cut behind an extension's first byte": encoded(scene(), "GIF")[: encoded(scene(), "GIF").index(b"\x2c")] + b"!",
    },
    "picture_too_small": {"pixel": encoded(Image.new("RGB", (1, 1)), "PNG"), "line": encoded(Image.new("RGB", (90, 12)), "PNG")},
    "picture_extreme_aspect": {
        "wide": encoded(Image.new("RGB", (161, 16)), "PNG"),
        "tall": encoded(Image.new("RGB", (40, 410))),
    },
    "picture_too_many_pixels": {
        "png": png_header(30_000, 30_000, 8, 2) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b""),
        "jpeg": jpeg_of_size(65_500, 65_500),
        "webp": webp_of_size(16_383, 16_383),
        "gif": gif_of_size(65_535, 65_535),
    },
    "picture_bomb": {
        "png text": with_chunks(encoded(scene(), "PNG"), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        "png text of the world": with_chunks(encoded(scene(), "PNG"), chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(50_000_000)))),
        "png profile": with_chunks(encoded(scene(), "PNG"), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        "png chunks": with_chunks(encoded(scene(), "PNG"), *[chunk(b"tEXt", b"a\0b")] * 30_000),
        "jpeg scans": many_scans(500),
        "jpeg segments": with_segments(encoded(scene()), segment(0xFE, b"") * 30_000),
        "jpeg exif": with_segments(encoded(scene()), segment(0xE1, b"Exif\0\0MM\0*" + b"a" * 65_000) * 450),
        "jpeg photoshop": with_segments(encoded(scene()), segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04" + bytes(65_000)) * 65),
        "jpeg tables": with_segments(encoded(scene()), segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 65),
        "gif blocks": encoded(scene(), "GIF")[:-1] + b"\x21\xfe\0" * 30_000 + b";",
        "gif sub-blocks": encoded(scene(), "GIF")[:-1] + b"\x21\xfe" + b"\1a" * 500_000 + b"\0;",
    },
    "picture_animated": {"gif": animated("GIF"), "webp": animated("WEBP"), "apng": animated("PNG")},
    "picture_polyglot": {
        "jpeg and zip": encoded(scene()) + zipped(),
        "png and zip": encoded(scene(), "PNG") + zipped(),
        "gif and zip": encoded(scene(), "GIF") + zipped(),
        "webp and zip": encoded(scene(), "WEBP") + zipped(),
        "zip behind a film": motion_photo() + zipped(),
        "zip behind padding": encoded(scene()) + bytes(4096) + zipped(),
        "zip in a profile": with_segments(encoded(scene()), segment(0xE2, b"ICC_PROFILE\0\1\1" + zipped())),
        "jpeg and pdf": encoded(scene()) + b"\n%PDF-1.4\n1 0 obj",
        "pdf in a comment": encoded(scene(), comment=b"%PDF-1.4\n1 0 obj"),
        "php behind": encoded(scene()) + b"<?php system($_GET[0]); ?>",
        "php in exif": encoded(scene(), exif=exif(1, "<?php phpinfo(); ?>")),
        "php in a png text": with_chunks(encoded(scene(), "PNG"), chunk(b"tEXt", b"Comment\0<?php phpinfo(); ?>")),
        "php in a png of its own": with_chunks(encoded(scene(), "PNG"), chunk(b"vpAg", b"x<?php phpinfo(); ?>")),
        "page in a gif comment": encoded(scene(), "GIF", comment=b"<html><script>alert(1)</script>"),
        "page in webp metadata": encoded(scene(), "WEBP", xmp=b"<html><script>alert(1)</script>"),
        "page behind a webp": encoded(scene(), "WEBP") + b"<!DOCTYPE html><p>",
        "shell script behind": encoded(scene(), "PNG") + b"#!/bin/sh\nrm -rf /",
        "program behind": encoded(scene()) + b"\x7fELF\2\1\1" + bytes(60),
        "windows program behind": encoded(scene()) + b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0",
        "rar behind": encoded(scene()) + b"Rar!\x1a\x07\1\0" + bytes(40),
        "gzip behind": encoded(scene(), "GIF") + b"\x1f\x8b\x08" + bytes(40),
        "tar behind": encoded(scene()) + b"note.txt".ljust(257, b"\0") + b"ustar\x0000" + bytes(250),
        "javascript in a jpeg": with_segments(encoded(scene()), segment(0xE0, b"*/=1;alert(1)/*".ljust(0x2F2A - 2, b"\0"))),
    },
}

# What is taken in, by the codes that its conversion is noted under.
CONVERTED: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "plain": (encoded(scene()), ()),
    "png": (encoded(scene(), "PNG"), ()),
    "grey": (encoded(scene().convert("L")), ()),
    "lossless webp": (encoded(scene(), "WEBP", lossless=True), ()),
    "still gif": (encoded(scene(), "GIF"), ()),
    "cmyk": (encoded(scene().convert("CMYK"), quality=95), ("cmyk",)),
    "ycck": (ycck(), ("cmyk",)),
    "cmyk, not inverted": (plain_cmyk(), ("cmyk",)),
    "16 bit grey": (png_of(deep(scene().convert("L"))), ("deep",)),
    "16 bit colour": (png_of(deep(scene())), ("deep",)),
    "16 bit grey, one of it clear": (png_of(deep(scene().convert("L")), before=chunk(b"tRNS", b"\xbf\xbf")), ("alpha", "deep")),
    "interlaced": (png_of(np.asarray(scene()), interlaced=True), ()),
    "palette": (palette_with_transparency(), ("palette_alpha",)),
    "clear": (encoded(scene().convert("RGBA"), "PNG"), ("alpha",)),
    "turned": (encoded(scene(), exif=exif(6)), ("turned",)),
    "turned png": (encoded(scene(), "PNG", exif=exif(6)), ("turned",)),
    "turned png, said last": (turned_at_the_end(), ("turned",)),
    "turned png, said in a text": (
        with_chunks(encoded(scene(), "PNG"), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_TURNED)),
        ("turned",),
    ),
    "turned webp": (encoded(scene(), "WEBP", exif=exif(6)), ("turned",)),
    "profile": (encoded(scene(), icc_profile=profile()), ()),
    "profile in png": (encoded(scene(), "PNG", icc_profile=profile()), ()),
    "broken profile": (encoded(scene(), icc_profile=b"no profile at all"), ("icc_ignored",)),
    "cut profile": (encoded(scene(), icc_profile=profile()[:-300]), ("icc_ignored",)),
    "broken profile in png": (encoded(scene(), "PNG", icc_profile=b"no profile at all"), ("icc_ignored",)),
    "profile in png that does not unpack": (with_chunks(encoded(scene(), "PNG"), chunk(b"iCCP", b"a\0\0garbage")), ("icc_ignored",)),
    "profile in png of no method": (with_chunks(encoded(scene(), "PNG"), chunk(b"iCCP", b"a\0\x07")), ("icc_ignored",)),
    "profile in png, damaged": (with_chunks(encoded(scene(), "PNG"), chunk(b"iCCP", b"")[:-1] + b"x"), ("icc_ignored",)),
    "broken profile in webp": (encoded(scene(), "WEBP", icc_profile=b"no profile at all"), ("icc_ignored",)),
    "text in png, damaged": (with_chunks(encoded(scene(), "PNG"), chunk(b"zTXt", b"a\0\x09b"), chunk(b"tEXt", b"a\0b")[:-1] + b"x"), ()),
    "broken exif": (with_segments(encoded(scene()), segment(0xE1, b"Exif\0\0not a header at all")), ("exif_ignored",)),
    "two photos": (phone_mpo(), ("first_of_several",)),
    "film behind": (motion_photo(), ()),
    "samsung": (samsung_trailer(), ()),
    "padded": (encoded(scene()) + bytes(3000), ()),
    "thumbnail behind": (encoded(scene()) + encoded(scene(40, 30)), ()),
}
