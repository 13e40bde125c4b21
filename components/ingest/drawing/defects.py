"""What goes wrong in a photo, by a strength in [0, 1], and the true quality that is left."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from components.ingest.drawing.canvas import lettering
from components.ingest.drawing.palette import INK, RGB, WHITE

Defect = tuple[str, float]

LOSS: Mapping[str, float] = {
    "blur": 0.70,
    "dark": 0.60,
    "crop": 0.55,
    "glare": 0.50,
    "clutter": 0.45,
    "text": 0.40,
    "watermark": 0.35,
    "tilt": 0.35,
}
DEFECTS = tuple(LOSS)
_BANNERS = ("SALE 50% OFF", "FREE SHIPPING", "LAST ONE!", "BEST PRICE", "NEW ARRIVAL", "HOT ITEM")
_BANDS: tuple[tuple[RGB, RGB], ...] = (((214, 30, 50), WHITE), ((250, 208, 20), INK), ((20, 90, 200), WHITE))
_STAMPS = ("SAMPLE", "MY SHOP", "DO NOT COPY", "PHOTO")


def quality_of(defects: Iterable[Defect]) -> float:
    """True photo quality in [0, 1], higher is better: the product over defects of (1 - LOSS[name] * strength).

    It is 1 for a photo without defects and falls with every strength. It comes from the parameters that drew the photo, never from
    pixels, so no measure of the picture can be right by construction. The losses are a choice: blur and darkness hide the product,
    a watermark or a tilt only annoys.
    """
    kept = 1.0
    for name, strength in defects:
        kept *= 1.0 - LOSS[name] * strength
    return kept


def tilt_degrees(strength: float) -> float:
    """How far the camera was turned."""
    return 7.0 + 26.0 * strength


def cut_share(strength: float) -> float:
    """Share of the product's height or width that a crop leaves outside the picture."""
    return 0.1 + 0.4 * strength


def num_strangers(strength: float) -> int:
    """How many other things lie around under clutter."""
    return 1 + round(3.4 * strength)


def spoil(picture: Image.Image, defects: Iterable[Defect], rng: np.random.Generator) -> Image.Image:
    """The finished photo with the defects of camera and editing; tilt, crop and clutter belong to the scene and are drawn there."""
    named = dict(defects)
    for name, make in _MAKE.items():
        if name in named:
            picture = make(picture, named[name], rng)
    return picture


def _glare(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    width, height = picture.size
    x, y = rng.uniform(0.35, 0.65) * width, rng.uniform(0.3, 0.6) * height
    long, turn = (0.17 + 0.23 * strength) * min(picture.size), rng.uniform(-0.6, 0.6)
    gy, gx = np.mgrid[0:height, 0:width].astype(np.float32)
    across = (np.cos(turn) * (gx - x) + np.sin(turn) * (gy - y)) / np.float32(long)
    along = (np.cos(turn) * (gy - y) - np.sin(turn) * (gx - x)) / np.float32(long * 0.6)
    alpha = np.minimum(1.0, (0.6 + 0.6 * strength) * np.exp(-np.square(across) - np.square(along)) + 0.15 * strength)
    return _over(picture, (255, 254, 248), alpha)


def _dark(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture, np.float32) * np.float32(0.82 - 0.56 * strength) * np.array([1.0, 0.96, 0.88], np.float32)
    pixels += rng.normal(0, 1.5 + 4.0 * strength, (*pixels.shape[:2], 1)).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _blur(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur((0.006 + 0.026 * strength) * min(picture.size)))


def _watermark(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    short_px = min(picture.size)
    mark = lettering(_STAMPS[int(rng.integers(len(_STAMPS)))], round(short_px * (0.07 + 0.06 * strength)))
    sheet = Image.new("L", (2 * picture.width, 2 * picture.height), 0)
    gap_px = round(short_px * (0.28 - 0.12 * strength))
    for row, top in enumerate(range(0, sheet.height, mark.height + gap_px)):
        for left in range(-(row % 2) * mark.width // 2, sheet.width, mark.width + gap_px // 2):
            sheet.paste(mark, (left, top))
    turned = sheet.rotate(28, resample=Image.Resampling.BILINEAR)
    left, top = picture.width // 2, picture.height // 2
    alpha = np.asarray(turned.crop((left, top, left + picture.width, top + picture.height)), np.float32) / 255
    alpha *= np.float32(0.35 + 0.45 * strength)
    return _over(_over(picture, (60, 60, 64), np.roll(alpha, (1, 1), axis=(0, 1))), (255, 255, 255), alpha)


def _text(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    width, height = picture.size
    band_px = round(height * (0.1 + 0.1 * strength))
    band, letters = _BANDS[int(rng.integers(len(_BANDS)))]
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    tops = [height - band_px] if strength < 0.5 else [0, height - band_px]
    for top in tops:
        words = lettering(_BANNERS[int(rng.integers(len(_BANNERS)))], max(6, round(band_px * 0.62)))
        words.thumbnail((round(width * 0.94), band_px))
        draw.rectangle((0, top, width, top + band_px), fill=band)
        picture.paste(letters, ((width - words.width) // 2, top + (band_px - words.height) // 2), words)
    return picture


def _over(picture: Image.Image, colour: tuple[int, int, int], alpha: np.ndarray) -> Image.Image:
    mask = Image.fromarray((alpha * 255).clip(0, 255).astype(np.uint8))
    picture = picture.copy()
    picture.paste(colour, (0, 0), mask)
    return picture


_MAKE: Mapping[str, Callable[[Image.Image, float, np.random.Generator], Image.Image]] = {
    "glare": _glare,
    "dark": _dark,
    "blur": _blur,
    "watermark": _watermark,
    "text": _text,
}
