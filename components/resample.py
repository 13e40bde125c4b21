"""A picture squeezed to a square by antialiased bicubic, the same bytes on every machine.

Pillow's filter (cubic convolution, Keys 1981, a = -0.5, widened by the scale) as small matrix products in place of its scalar loops.
Weights are whole multiples of 2**-15 and pixels whole numbers, so float32 holds every product and partial sum exactly: neither threads
nor the processor's order of summation change a bit.

Shape suffixes: H, W source height and width; S side of the square; T taps, the source pixels that make one target pixel; 3 colours.
"""

import math
import threading
from functools import lru_cache
from typing import NamedTuple

import numpy as np

CUBIC_A = -0.5
SUPPORT = 2.0  # the cubic reaches two target pixels to each side
WEIGHT_UNIT = 2.0**-15
BAND = 4  # target pixels a product makes: a wider band multiplies more zeros, a narrower one costs more calls
BANDS_AT_ONCE = 8
MAX_PRODUCT = 2**18  # multiplications a product: above it OpenBLAS starts threads, which cost more than they bring


class Bands(NamedTuple):
    """For each band of BAND target pixels where its span of source pixels starts, and the weights that turn one into the other."""

    starts: list[int]
    weights: np.ndarray


def taps(num_px: int, length: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The first source pixel (S,) that each target pixel is made from, and what it and its followers give (S, T), in whole WEIGHT_UNITs.

    Each row adds up to 1; a follower beyond num_px gives 0. `length` is the extent in source pixels that is squeezed to `side`, at most
    num_px: the last pixel may be covered in part.
    """
    scale = length / side
    widened = max(scale, 1.0)
    centre_S = (np.arange(side) + 0.5) * scale
    first_S = np.maximum(np.floor(centre_S - SUPPORT * widened + 0.5), 0).astype(int)
    px_ST = first_S[:, None] + np.arange(math.ceil(2 * SUPPORT * widened) + 1)
    away = np.abs(px_ST + 0.5 - centre_S[:, None]) / widened
    near = ((CUBIC_A + 2) * away - (CUBIC_A + 3)) * away * away + 1
    far = (((away - 5) * away + 8) * away - 4) * CUBIC_A
    raw = np.where(away < 1, near, np.where(away < SUPPORT, far, 0.0)) * (px_ST < num_px)
    units = np.rint(raw / (raw.sum(axis=1, keepdims=True) * WEIGHT_UNIT))
    units[np.arange(side), units.argmax(axis=1)] += 1 / WEIGHT_UNIT - units.sum(axis=1)
    return first_S, units * WEIGHT_UNIT


@lru_cache(maxsize=256)
def rows_of(num_px: int, length: float, side: int) -> Bands:
    """The taps, for source pixels that lie below each other: float32 (bands, BAND, span). Weights beyond `side` are 0."""
    first_S, weights_ST = taps(num_px, length, side)
    num_taps, heads = weights_ST.shape[1], first_S[::BAND]
    lasts = first_S[np.minimum(np.arange(BAND - 1, side + BAND - 1, BAND), side - 1)]
    span = min(int((lasts - heads).max()) + num_taps, num_px)
    starts = np.minimum(heads, num_px - span)
    column_ST = (first_S - starts.repeat(BAND)[:side])[:, None] + np.arange(num_taps)
    wide = np.zeros((BAND * len(heads), span + num_taps), np.float32)
    wide[np.arange(side)[:, None], column_ST] = weights_ST
    return Bands(starts.tolist(), np.ascontiguousarray(wide[:, :span]).reshape(len(heads), BAND, span))


@lru_cache(maxsize=64)
def columns_of(num_px: int, length: float, side: int) -> Bands:
    """The same for values that lie in a row as r g b r g b: float32 (bands, 3 span, 3 BAND); starts are counted in values."""
    starts, rows = rows_of(num_px, length, side)
    num_bands, _, span = rows.shape
    spread = np.zeros((num_bands, span, 3, BAND, 3), np.float32)
    for colour in range(3):
        spread[:, :, colour, :, colour] = rows.transpose(0, 2, 1)
    return Bands([3 * start for start in starts], spread.reshape(num_bands, 3 * span, 3 * BAND))


# Its many short products hand Python's own lock to and fro: two threads in here at once take longer than one after the other.
_ALONE = threading.Lock()


def to_square(picture_HW3: np.ndarray, extent: tuple[float, float], side: int) -> np.ndarray:
    """uint8 (S, S, 3) from uint8 (H, W, 3). `extent` is the width and height in source pixels that fill the square.

    Threads take turns here, and decode meanwhile.
    """
    height, width, _ = picture_HW3.shape
    with _ALONE:
        flat = _squeezed_down(picture_HW3.reshape(height, 3 * width), rows_of(height, extent[1], side))
        square = _squeezed_across(_to_levels(flat[:side]), columns_of(width, extent[0], side))
        return _to_levels(square[:, : 3 * side]).astype(np.uint8).reshape(side, side, 3)


def _squeezed_down(source: np.ndarray, bands: Bands) -> np.ndarray:
    """float32 (bands x BAND, values a row). Source rows become floats a few bands at a time, so that they stay in the CPU's cache."""
    num_bands, _, span = bands.weights.shape
    found = np.empty((BAND * num_bands, source.shape[1]), np.float32)
    stretches = _stretches(source.shape[1], BAND * span)
    for first in range(0, num_bands, BANDS_AT_ONCE):
        starts = bands.starts[first : first + BANDS_AT_ONCE]
        floats = source[starts[0] : starts[-1] + span].astype(np.float32)
        for number, start in enumerate(starts, first):
            rows = floats[start - starts[0] : start - starts[0] + span]
            target = found[BAND * number : BAND * number + BAND]
            for some in stretches:
                np.matmul(bands.weights[number], rows[:, some], out=target[:, some])
    return found


def _squeezed_across(flat: np.ndarray, bands: Bands) -> np.ndarray:
    """float32 (rows, values of bands x BAND pixels)."""
    num_bands, span, width = bands.weights.shape
    found = np.empty((len(flat), width * num_bands), np.float32)
    for some in _stretches(len(flat), width * span):
        for number, start in enumerate(bands.starts):
            np.matmul(flat[some, start : start + span], bands.weights[number], out=found[some, width * number : width * (number + 1)])
    return found


def _stretches(length: int, num_weights: int) -> list[slice]:
    """[0, length) in equal pieces, so many that no product of one with the weights is larger than MAX_PRODUCT."""
    most = max(1, MAX_PRODUCT // num_weights)
    step = -(-length // -(-length // most))
    return [slice(at, min(at + step, length)) for at in range(0, length, step)]


def _to_levels(values: np.ndarray) -> np.ndarray:
    """Whole numbers in [0, 255], in place: a cubic overshoots at edges."""
    np.rint(values, out=values)
    return np.clip(values, 0, 255, out=values)
