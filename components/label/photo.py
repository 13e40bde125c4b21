"""What can be measured on a photo at model input size. No measure knows the product, the listing or the shopper.

S = side of the square in px. Luma and colours lie in [0, 1].
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FINEST_PX = 112  # strokes and blur are measured against S / 112, a pixel at that size
NUM_BORDER_COLOURS = 4
STANDS_OUT = 0.06  # colour distance from the border's colours at which something is no background


@dataclass(frozen=True)
class Measures:
    """One photo. Names say what grows with the number.

    edge_strength: log10 of the 99th percentile of the luma gradient. edge_width_ratio: how much the strongest edges lose when
    smoothed, about 1 for blurred ones. white_level: 95th percentile of luma. contrast: standard deviation of luma. hot_spot: how much
    brighter than the border the middle's brightest patch is. outer_edges: share of edge pixels in the outer sixth. main_part_share:
    share of what stands out that is one piece. border_touch_share: share of the border that is no background. off_centre: distance
    of what stands out from the middle, in half sides. upright_share: share of edge strength within 8 degrees of the axes.
    outer_strokes: share of fine strokes in the outer sixth, as lettering has them.
    """

    edge_strength: float
    edge_width_ratio: float
    white_level: float
    contrast: float
    hot_spot: float
    outer_edges: float
    main_part_share: float
    border_touch_share: float
    off_centre: float
    upright_share: float
    outer_strokes: float

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, the form in which the work cache keeps it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Measures":
        """The measures that to_bytes wrote."""
        return cls(**json.loads(data))


def measure(pixels: np.ndarray) -> Measures:
    """The measures of a uint8 (S, S, 3) photo."""
    rgb = pixels.astype(np.float32) / 255
    luma = rgb @ LUMA
    grain = len(luma) / FINEST_PX
    smooth = ndimage.gaussian_filter(luma, grain, truncate=3)
    sharp, soft = _gradient(luma), _gradient(smooth)
    ring, outer = _frame(len(luma), 0.04), _frame(len(luma), 0.16)
    colours = ndimage.gaussian_filter(rgb, (grain, grain, 0))
    return Measures(
        edge_strength=float(np.log10(np.percentile(sharp, 99) + 1e-4)),
        edge_width_ratio=_edge_width_ratio(sharp, soft),
        white_level=float(np.percentile(luma, 95)),
        contrast=float(luma.std()),
        hot_spot=_hot_spot(ndimage.gaussian_filter(rgb.min(axis=2), 4 * grain), ring),
        outer_edges=float((soft[outer] > STANDS_OUT / 2).mean()),
        upright_share=_upright_share(smooth, soft),
        outer_strokes=float((np.abs(luma - _without_strokes(luma))[outer] > 0.08).mean()),
        **_composition(colours, ring),
    )


def _without_strokes(luma: np.ndarray) -> np.ndarray:
    """Medians along columns, then along rows: takes out strokes below 5 px as the square median does, in a sixth of its time."""
    filled: np.ndarray = ndimage.median_filter(ndimage.median_filter(luma, size=(9, 1)), size=(1, 9))
    return filled


def _gradient(luma: np.ndarray) -> np.ndarray:
    strength: np.ndarray = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1)) / 8
    return strength


def _frame(side: int, share: float) -> np.ndarray:
    width = max(2, round(side * share))
    frame = np.ones((side, side), bool)
    frame[width:-width, width:-width] = False
    return frame


def _edge_width_ratio(sharp: np.ndarray, soft: np.ndarray) -> float:
    top = sharp >= max(np.percentile(sharp, 96), 1e-4)
    return float(np.median(sharp[top] / (soft[top] + 1e-4))) if top.any() else 1.0


def _hot_spot(bright: np.ndarray, ring: np.ndarray) -> float:
    across = np.linspace(-1, 1, len(bright))
    middle = np.hypot(across[:, None], across[None, :]) < 0.75
    return float(np.percentile(bright[middle], 98) - np.median(bright[ring]))


def _upright_share(smooth: np.ndarray, soft: np.ndarray) -> float:
    angle = np.rad2deg(np.arctan2(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1))) % 90
    weight = np.where(soft > np.percentile(soft, 90), soft, 0)
    return float((weight * (np.minimum(angle, 90 - angle) < 8)).sum() / max(weight.sum(), 1e-6))


def _composition(colours: np.ndarray, ring: np.ndarray) -> dict[str, float]:
    """Where what stands out from the border's colours lies, and in how many pieces."""
    background = _main_colours(colours[ring])
    distance = np.sqrt(np.square(colours[:, :, None, :] - background).sum(axis=-1)).min(axis=2)
    usual = np.percentile(distance[ring], 75)
    salience = np.clip(distance - usual, 0, None)
    across = np.linspace(-1, 1, len(salience))
    total = salience.sum() + 1e-6
    centre = (salience.sum(axis=1) @ across / total, salience.sum(axis=0) @ across / total)
    parts, num_parts = ndimage.label(ndimage.binary_opening(salience > STANDS_OUT, iterations=2))
    sizes = np.bincount(parts.ravel())[1:] if num_parts else np.zeros(1)
    return {
        "main_part_share": float(sizes.max() / max(1, sizes.sum())) if num_parts else 0.0,
        "border_touch_share": float((distance[ring] > usual + STANDS_OUT).mean()),
        "off_centre": float(np.hypot(*centre)),
    }


def _main_colours(colours: np.ndarray, rounds: int = 6) -> np.ndarray:
    """A few colours that the given ones gather around: k-means from luma quantiles, so that equal photos give equal colours."""
    order = np.argsort(colours @ LUMA, kind="stable")
    chosen: np.ndarray = colours[order[((np.arange(NUM_BORDER_COLOURS) + 0.5) * len(order) / NUM_BORDER_COLOURS).astype(int)]]
    for _ in range(rounds):
        nearest = np.square(colours[:, None] - chosen).sum(axis=-1).argmin(axis=1)
        chosen = np.stack([colours[nearest == k].mean(axis=0) if (nearest == k).any() else chosen[k] for k in range(len(chosen))])
    return chosen
