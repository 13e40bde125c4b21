"""What the faults do to a photo. Each takes encoded bytes and gives encoded bytes; equal inputs give equal bytes."""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from components.images import MIN_SIDE_PX, decode

JPEG_QUALITY = 88
DARK_GAIN = np.array([0.68, 0.66, 0.62], np.float32)  # about half a stop, and warmer
SMOOTHED_SHARE = 0.025  # of the short side, the half width of the patch that is made one colour
PLASTIC = {"colour": 1.25, "contrast": 1.05}


def darker(data: bytes) -> bytes:
    """The photo underexposed by half a stop and a little warmer, as by an app that applies the wrong gain. Raises BadPicture."""
    pixels = np.asarray(decode(data), np.float32) * DARK_GAIN
    return _jpeg(Image.fromarray(pixels.astype(np.uint8)))


def badly_resized(data: bytes) -> bytes:
    """The photo as a square of a third of its short side, by nearest neighbour: an uploader that sends its own thumbnail.

    Raises BadPicture."""
    picture = decode(data)
    side = max(MIN_SIDE_PX, min(picture.size) // 3)
    return _jpeg(picture.resize((side, side), Image.Resampling.NEAREST))


def ai_made(data: bytes) -> bytes:
    """The photo as an image generator would have it: no grain, plastic surfaces, rich colours, full contrast. Raises BadPicture."""
    picture = decode(data)
    width = 2 * max(1, round(SMOOTHED_SHARE * min(picture.size))) + 1
    for _ in range(2):
        picture = picture.filter(ImageFilter.MedianFilter(min(width, 9)))
    picture = ImageOps.autocontrast(picture, cutoff=0.5)
    picture = ImageEnhance.Color(picture).enhance(PLASTIC["colour"])
    picture = ImageEnhance.Contrast(picture).enhance(PLASTIC["contrast"])
    return _jpeg(picture.filter(ImageFilter.UnsharpMask(radius=2, percent=120, threshold=2)))


def listed_again(data: bytes, rng: np.random.Generator) -> bytes:
    """The same photo with other edges and a breath of other light, as sellers list one thing many times. Raises BadPicture."""
    picture = decode(data)
    left, top, right, bottom = (float(rng.uniform(0, 0.06)) for _ in range(4))
    width, height = picture.size
    picture = picture.crop((round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height)))
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    return _jpeg(ImageEnhance.Brightness(picture).enhance(float(rng.uniform(0.92, 1.08))))


def _jpeg(picture: Image.Image) -> bytes:
    picture.save(sink := io.BytesIO(), "JPEG", quality=JPEG_QUALITY)
    return sink.getvalue()
