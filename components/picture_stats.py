"""What drift of pictures is watched by: brightness, sharpness, contrast and text share, measured alike at ingest and at the gateway."""

import numpy as np
from PIL import Image

SIDE_PX = 224
CELL_PX = 8
MIN_LAPLACIAN_VARIANCE = 1e-4


def stats_of(picture: Image.Image) -> dict[str, float]:
    """Brightness, sharpness, contrast and text share of the picture squeezed to 224 x 224 px, rounded to float32 (schema.STATS)."""
    small = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).convert("L")
    luma = np.asarray(small, np.float32) / np.float32(255)
    values = {
        "brightness": luma.mean(),
        "sharpness": sharpness_of(luma),
        "contrast": luma.std(),
        "text_share": text_share_of(luma),
    }
    return {name: float(np.float32(value)) for name, value in values.items()}


def sharpness_of(luma: np.ndarray) -> float:
    """log10 of the variance of the 4-neighbour Laplacian on a 0 to 255 scale: about 1 blurred, 3 crisp; -4 where nothing varies."""
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    return float(np.log10(max(float((laplacian * 255).var()), MIN_LAPLACIAN_VARIANCE)))


def text_share_of(luma: np.ndarray) -> float:
    """Share of 8 x 8 px cells that look like lettering, 0 to 1: two tones, strong contrast, many changes between them.

    A rough sign, made for watching a catalogue's mean: knitwear and gratings count too.
    """
    side = luma.shape[0] // CELL_PX
    cells = luma.reshape(side, CELL_PX, side, CELL_PX).swapaxes(1, 2)
    low, high = cells.min((2, 3), keepdims=True), cells.max((2, 3), keepdims=True)
    span = high - low
    two_toned = (np.minimum(cells - low, high - cells) < 0.25 * span).mean((2, 3)) > 0.6
    ink = cells > (low + high) / 2
    changes = np.diff(ink, axis=3).sum((2, 3)) + np.diff(ink, axis=2).sum((2, 3))
    return float(((span[..., 0, 0] > 0.35) & two_toned & (changes >= 2 * CELL_PX)).mean())
