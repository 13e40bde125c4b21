"""How a product looks: its colours, the pattern on it and the knobs of its silhouette."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.ingest.drawing.canvas import Canvas, Grid, Points, Shade
from components.ingest.drawing.palette import INK, RGB, WHITE, Colour, luma

PATTERNS = ("plain", "stripes", "dots", "checks", "gradient")


@dataclass(frozen=True)
class Look:
    """One product's appearance: equal looks of one kind are the same product. Knobs are in [0, 1]; `rgb` is the shade of `colour`."""

    colour: Colour
    second: Colour
    rgb: RGB
    second_rgb: RGB
    pattern: str
    pattern_scale: float
    pattern_angle: float
    text: str
    knobs: tuple[float, ...]

    def knob(self, index: int, low: float, high: float) -> float:
        """Knob `index` mapped to [low, high]."""
        return low + (high - low) * self.knobs[index]

    @property
    def text_rgb(self) -> RGB:
        """A colour that reads well on the product."""
        return INK if luma(self.rgb) > 0.5 else WHITE


def share_of_second(look: Look, u: Grid, v: Grid) -> Grid:
    """How much of the second colour stands at (u, v), in [0, 1]."""
    along = u * np.cos(look.pattern_angle) + v * np.sin(look.pattern_angle)
    across = v * np.cos(look.pattern_angle) - u * np.sin(look.pattern_angle)
    return _SHARES[look.pattern](look.pattern_scale, along, across)


def _stripes(scale: float, along: Grid, across: Grid) -> Grid:
    return (np.mod(across * scale, 1.0) < 0.45).astype(np.float32)


def _dots(scale: float, along: Grid, across: Grid) -> Grid:
    row = np.floor(across * scale)
    x = np.mod(along * scale + 0.5 * np.mod(row, 2), 1.0) - 0.5
    y = np.mod(across * scale, 1.0) - 0.5
    return (x * x + y * y < 0.075).astype(np.float32)


def _checks(scale: float, along: Grid, across: Grid) -> Grid:
    return 0.45 * (np.mod(along * scale, 1.0) < 0.5).astype(np.float32) + 0.45 * (np.mod(across * scale, 1.0) < 0.5)


_SHARES: dict[str, Callable[[float, Grid, Grid], Grid]] = {
    "plain": lambda scale, along, across: np.zeros_like(along),
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "gradient": lambda scale, along, across: (0.5 + 0.6 * across).clip(0, 1),
}


def body(canvas: Canvas, points: Points, look: Look, shade: Shade) -> None:
    """Covers the polygon with the product's colour and pattern, lit by `shade` (a factor on the light, about 1)."""
    first, second = np.array(look.rgb, np.float32), np.array(look.second_rgb, np.float32)

    def paint(u: Grid, v: Grid) -> Grid:
        light = shade(u, v)[..., None]
        if look.pattern == "plain":
            return np.asarray(first * light)
        return np.asarray((first + share_of_second(look, u, v)[..., None] * (second - first)) * light)

    canvas.texture(points, paint)


def folds(look: Look) -> Shade:
    """Light on hanging cloth: soft creases that differ from product to product."""
    phase, width = look.knob(0, 0.0, 6.0), look.knob(1, 4.0, 7.0)
    return lambda u, v: 1.0 + 0.07 * np.sin(width * u + 1.6 * np.sin(2.2 * v + phase)) - 0.09 * v


def tube(radius: float) -> Shade:
    """Light on an upright cylinder of that radius about x = 0, brightest left of its middle."""
    return lambda u, v: 1.12 - 0.5 * np.square((u / radius + 0.3) * 0.77)


def globe(x: float, y: float, radius: float) -> Shade:
    """Light on a ball, brightest to the upper left."""
    return lambda u, v: 1.2 - 0.42 * (np.square((u - x) / radius + 0.35) + np.square((v - y) / radius + 0.4))


def slope(u: Grid, v: Grid) -> Grid:
    """Light on something flat: a little brighter at the top."""
    return 1.04 - 0.1 * v - 0.03 * u
