"""From encoded bytes to model input: the one function that training, embedding and serving share. Loads no torch.

Guards run before pixels are decoded: a picture's header says its size, and what is too large is never expanded.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image, ImageChops, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from components import resample
from components.containers.foreign import hidden, seems_to_be
from components.containers.parts import Parts, sound_profile
from components.containers.read import parts_of
from components.errors import BadPicture

MAX_PICTURE_BYTES = 32 * 1024 * 1024
MAX_PICTURE_PIXELS = 64 * 1024 * 1024
MIN_SIDE_PX = 16
MAX_ASPECT = 10
MAX_SCANS = 64
SCALED_SIDES = 2.0  # a JPEG that decode() scales down keeps at least this many of the sides it was asked for
SQUARE_SCALED_SIDES = 1.75  # the same in to_square: about 45 dB from the plain path at worst (docs/benchmarks.md)

DECODERS: Mapping[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
ORIENTATION_TAG = 0x0112
EXIF_NAMES = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  # where Pillow finds an orientation
TIFF_STARTS = (b"II*\0", b"MM\0*")  # EXIF is a TIFF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = (5, 6, 7, 8)  # orientations that swap width and height

Image.MAX_IMAGE_PIXELS = MAX_PICTURE_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", module=r"PIL\.")  # here and not around each call: catch_warnings is not safe in threads


@dataclass(frozen=True)
class About:
    """A picture's width and height upright in px, and codes of what decode() changes or leaves out (docs/quarantine.md), sorted."""

    width: int
    height: int
    converted: tuple[str, ...]


def digest() -> str:
    """sha256 of the source that decides pixels: the identity of preprocessing that a bundle's manifest carries."""
    sources = (Path(__file__), Path(resample.__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def open_picture(data: bytes) -> Image.Image:
    """The picture's first frame, header read and limits checked, pixels not yet decoded.

    Raises BadPicture with one of the codes of docs/quarantine.md; only picture_truncated may still come from decoding.
    """
    return _opened(data)[0]


def _opened(data: bytes) -> tuple[Image.Image, Parts]:
    if not data:
        raise BadPicture("picture_empty", "0 bytes")
    if len(data) > MAX_PICTURE_BYTES:
        raise BadPicture("picture_too_many_bytes", f"{len(data)} bytes, limit {MAX_PICTURE_BYTES}")
    with _named("picture_unreadable"):
        parts = parts_of(data)
    if parts is None:
        if found := seems_to_be(data):
            raise BadPicture("picture_wrong_format", f"not a JPEG, PNG, WebP or GIF but {found}")
        raise BadPicture("picture_unreadable", f"of no known format, begins with {data[:8].hex(' ')}")
    if parts.bomb or parts.scans > MAX_SCANS:
        raise BadPicture("picture_bomb", parts.bomb or f"{parts.scans} scans, limit {MAX_SCANS}")
    with _named("picture_unreadable" if parts.whole else "picture_truncated"):
        picture = DECODERS[parts.kind](io.BytesIO(parts.pixels))
    picture.decodermaxblock = len(parts.pixels)  # in pieces, a decoder that makes no headway reads from the start with each piece
    _check_size(*picture.size)
    if parts.frames > 1:
        raise BadPicture("picture_animated", f"{parts.kind} with {parts.frames} frames")
    if found := hidden(data, parts):
        raise BadPicture("picture_polyglot", f"{parts.kind} that is also {found}")
    return picture, parts


@contextmanager
def _named(reason: str) -> Iterator[None]:
    """Whatever a decoder raises inside becomes BadPicture: they stumble over broken bytes each in its own way."""
    try:
        yield
    except (BadPicture, MemoryError):  # memory is no fault of the picture: its size was checked
        raise
    except Image.DecompressionBombError as error:
        raise BadPicture("picture_too_many_pixels", _one_line(error)) from None
    except Exception as error:
        raise BadPicture(reason, _one_line(error)) from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PICTURE_PIXELS:
        raise BadPicture("picture_too_many_pixels", f"{width}x{height} px, limit {MAX_PICTURE_PIXELS}")
    if min(width, height) < MIN_SIDE_PX:
        raise BadPicture("picture_too_small", f"{width}x{height} px, each side must have {MIN_SIDE_PX}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise BadPicture("picture_extreme_aspect", f"{width}x{height} px, one side may be {MAX_ASPECT} times the other")


def about(data: bytes) -> About:
    """What the header says of the picture. Raises BadPicture as open_picture does."""
    picture, parts = _opened(data)
    orientation, sound_exif = _orientation(picture)
    clear = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    noted = {
        "alpha": clear and picture.mode != "P",
        "cmyk": picture.mode == "CMYK",
        "deep": parts.deep,
        "exif_ignored": not sound_exif,
        "first_of_several": parts.several,
        "icc_ignored": parts.profile is not None and not sound_profile(parts.profile),
        "palette_alpha": clear and picture.mode == "P",
        "turned": orientation in TURNS,
    }
    width, height = reversed(picture.size) if orientation in LYING else picture.size
    return About(width, height, tuple(code for code, found in noted.items() if found))


def decode(data: bytes, min_side_px: int | None = None) -> Image.Image:
    """The picture upright, in RGB over white, decoded whole.

    With `min_side_px` a JPEG may come back scaled down by 2, 4 or 8, never below twice that side: enough for an antialiased resize
    to it. Raises BadPicture as open_picture does, and picture_truncated.
    """
    picture = open_picture(data)
    turn = TURNS.get(_orientation(picture)[0])
    flat, _ = _flat(picture, int(SCALED_SIDES * min_side_px) if min_side_px else None)
    return flat if turn is None else flat.transpose(turn)


def to_square(data: bytes, side_px: int) -> np.ndarray:
    """uint8 (side, side, 3): the picture squeezed to a square by antialiased bicubic, as SigLIP's own processor does. Raises BadPicture.

    Large pictures are first averaged down by whole numbers, never below SQUARE_SCALED_SIDES of the side.
    """
    picture = open_picture(data)
    turn = TURNS.get(_orientation(picture)[0])
    flat, (width, height) = _flat(picture, int(SQUARE_SCALED_SIDES * side_px))
    across, down = (max(1, int(length / (SQUARE_SCALED_SIDES * side_px))) for length in (width, height))
    if across * down > 1:
        flat = flat.reduce((across, down))
    square = resample.to_square(np.asarray(flat), (width / across, height / down), side_px)
    return square if turn is None else np.asarray(Image.fromarray(square).transpose(turn))


def _flat(picture: Image.Image, min_side_px: int | None) -> tuple[Image.Image, tuple[float, float]]:
    """The pixels in RGB as they lie, and the width and height that they cover, which a scaled JPEG rounds up. Raises BadPicture."""
    covered: tuple[float, float] = picture.size
    with _named("picture_truncated"):
        if min_side_px and picture.format == "JPEG" and (drafted := picture.draft("RGB", (min_side_px, min_side_px))):
            covered = drafted[1][2:]
        picture.load()
        return _over_white(picture), covered


def _orientation(picture: Image.Image) -> tuple[int, bool]:
    """The EXIF orientation, 1 to 8, and whether its EXIF could be read: a photo is not lost for it."""
    if not any(name in picture.info for name in EXIF_NAMES):
        return 1, True
    raw = picture.info.get("exif", b"").removeprefix(b"Exif\0\0")
    try:
        found = Image.Image.getexif(picture).get(ORIENTATION_TAG, 1)  # a PNG's own getexif() decodes it
    except Exception:  # Pillow raises many kinds on EXIF that is no EXIF: struct.error, SyntaxError, KeyError, ValueError, OverflowError
        return 1, False
    return (found if found in range(1, 9) else 1), not raw or raw.startswith(TIFF_STARTS)


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        return _eight_bits(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    if picture.mode == "CMYK" and "adobe" not in picture.info:
        picture = ImageChops.invert(picture)  # Pillow takes all four-ink JPEGs for Adobe's, which are stored inverted
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits in RGB: the upper eight, its one transparent grey in white."""
    levels = np.asarray(picture).astype(np.uint32)
    grey = (levels >> 8).clip(0, 255).astype(np.uint8)
    if "transparency" in picture.info:
        grey[levels == picture.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def normalise(pixels: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] with channels first, from uint8 with channels last: mean = std = 0.5, as SigLIP was trained.

    Shapes: (..., H, W, 3) to (..., 3, H, W).
    """
    return np.moveaxis(pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0), -1, -3)
