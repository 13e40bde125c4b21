"""From encoded bytes to model input: the one function that training, embedding and serving share. Loads no torch.

Guards run before pixels are decoded: a picture's header says its size, and what is too large is never expanded.
"""

import hashlib
import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from components.errors import BadPicture

MAX_PICTURE_BYTES = 32 * 1024 * 1024
MAX_PICTURE_PIXELS = 64 * 1024 * 1024
MIN_SIDE_PX = 16
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")

Image.MAX_IMAGE_PIXELS = MAX_PICTURE_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False


def digest() -> str:
    """sha256 of this module's source: the identity of preprocessing that a bundle's manifest carries."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def open_picture(data: bytes) -> Image.Image:
    """The picture's first frame, header read and limits checked, pixels not yet decoded.

    Raises BadPicture: picture_empty, picture_too_many_bytes, picture_unreadable, picture_too_many_pixels or picture_too_small.
    """
    if not data:
        raise BadPicture("picture_empty", "0 bytes")
    if len(data) > MAX_PICTURE_BYTES:
        raise BadPicture("picture_too_many_bytes", f"{len(data)} bytes, limit {MAX_PICTURE_BYTES}")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise BadPicture("picture_too_many_pixels", str(error)) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise BadPicture("picture_unreadable", _one_line(error)) from None
    width, height = picture.size
    if width * height > MAX_PICTURE_PIXELS:
        raise BadPicture("picture_too_many_pixels", f"{width}x{height} px, limit {MAX_PICTURE_PIXELS}")
    if min(width, height) < MIN_SIDE_PX:
        raise BadPicture("picture_too_small", f"{width}x{height} px, each side must have {MIN_SIDE_PX}")
    return picture


def decode(data: bytes, min_side_px: int | None = None) -> Image.Image:
    """The picture upright, in RGB over white, decoded whole.

    With `min_side_px` a JPEG may come back scaled down by 2, 4 or 8, never below twice that side: enough for an antialiased resize
    to it. Raises BadPicture as open_picture does, and picture_truncated.
    """
    picture = open_picture(data)
    try:
        if min_side_px and picture.format == "JPEG":
            picture.draft("RGB", (2 * min_side_px, 2 * min_side_px))
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        return _over_white(picture)
    except Image.DecompressionBombError as error:
        raise BadPicture("picture_too_many_pixels", str(error)) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, struct.error) as error:
        raise BadPicture("picture_truncated", _one_line(error)) from None


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def to_square(data: bytes, side_px: int) -> np.ndarray:
    """uint8 (side, side, 3): the picture squeezed to a square by antialiased bicubic, as SigLIP's own processor does. Raises BadPicture."""
    picture = decode(data, side_px)
    return np.asarray(picture.resize((side_px, side_px), Image.Resampling.BICUBIC))


def normalise(pixels: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] with channels first, from uint8 with channels last: mean = std = 0.5, as SigLIP was trained.

    Shapes: (..., H, W, 3) to (..., 3, H, W).
    """
    return np.moveaxis(pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0), -1, -3)
