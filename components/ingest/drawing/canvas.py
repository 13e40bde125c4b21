"""A sheet to draw one product on: shapes in product units, placed on the picture by a pose, with a mask of what was covered.

Product units: x and y run from -1 to 1 over the product's box, y grows downwards. Points are float arrays of shape (n, 2).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from components.ingest.drawing.palette import RGB

Points = np.ndarray
Grid = np.ndarray
Shade = Callable[[Grid, Grid], Grid]
SUPERSAMPLE = 2


@dataclass(frozen=True)
class Pose:
    """Where and how a product stands: centre and half size in shares of the picture's short side, angle in degrees clockwise.

    `squeeze` below 1 narrows the product as a view from the side does; `flip` mirrors it.
    """

    x: float
    y: float
    scale: float
    angle: float
    squeeze: float
    flip: bool

    def matrix(self) -> np.ndarray:
        """2 x 2, from product units to shares of the short side."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        across = self.squeeze * (-1 if self.flip else 1)
        return self.scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([across, 1.0])


class Canvas:
    """What was drawn so far: `ink` in RGB and `mask`, both SUPERSAMPLE times larger than the picture."""

    def __init__(self, size: tuple[int, int], pose: Pose, ground: RGB) -> None:
        width, height = size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE
        self.short_px = min(width, height)
        self.matrix = pose.matrix() * self.short_px
        self.centre = np.array([pose.x * width, pose.y * height])
        self.angle = pose.angle
        self.flip = pose.flip
        self.ink = Image.new("RGB", (width, height), ground)
        self.mask = Image.new("L", (width, height), 0)
        self._on_ink = ImageDraw.Draw(self.ink, "RGBA")
        self._on_mask = ImageDraw.Draw(self.mask)
        self.unit_px = pose.scale * self.short_px

    def _place(self, points: Points) -> list[tuple[float, float]]:
        return [(x, y) for x, y in (points @ self.matrix.T + self.centre).tolist()]

    def fill(self, points: Points, colour: RGB) -> None:
        """Covers the polygon with one colour."""
        placed = self._place(points)
        self._on_ink.polygon(placed, fill=colour)
        self._on_mask.polygon(placed, fill=255)

    def glaze(self, points: Points, colour: RGB, alpha: float) -> None:
        """Tints the polygon where something is drawn already; alpha in [0, 1]."""
        self._on_ink.polygon(self._place(points), fill=(*colour, round(255 * alpha)))

    def stroke(self, points: Points, colour: RGB, width: float, alpha: float = 1.0) -> None:
        """A line of `width` product units along the points; with alpha below 1 it only tints what is drawn already."""
        placed, width_px = self._place(points), max(1, round(width * self.unit_px))
        self._on_ink.line(placed, fill=(*colour, round(255 * alpha)), width=width_px, joint="curve")
        if alpha == 1.0:
            self._on_mask.line(placed, fill=255, width=width_px, joint="curve")

    def texture(self, points: Points, paint: Callable[[Grid, Grid], Grid]) -> None:
        """Covers the polygon with `paint(u, v)`, RGB values of shape (h, w, 3) for product units u and v of shape (h, w)."""
        placed = self._place(points)
        box = _box(placed, self.ink.size)
        if box is None:
            return
        left, top, right, bottom = box
        part = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(part).polygon([(x - left, y - top) for x, y in placed], fill=255)
        y_px, x_px = np.mgrid[top:bottom, left:right].astype(np.float32)
        back = np.linalg.inv(self.matrix).astype(np.float32)
        x_px -= np.float32(self.centre[0])
        y_px -= np.float32(self.centre[1])
        colours = paint(back[0, 0] * x_px + back[0, 1] * y_px, back[1, 0] * x_px + back[1, 1] * y_px)
        self.ink.paste(Image.fromarray(colours.clip(0, 255).astype(np.uint8)), (left, top), part)
        self.mask.paste(255, (left, top), part)

    def text(self, text: str, x: float, y: float, height: float, colour: RGB, max_width: float) -> None:
        """Prints Latin text centred on (x, y), at most `max_width` wide, turned with the product but never mirrored."""
        size_px = height * self.unit_px
        wide_px = font(20).getlength(text) / 20 * size_px
        size_px *= min(1.0, max_width * self.unit_px / max(wide_px, 1.0))
        if size_px < 4:
            return
        tile = lettering(text, round(size_px)).rotate(-self.angle, expand=True, resample=Image.Resampling.BILINEAR)
        (px, py), *_ = self._place(np.array([[x, y]]))
        self.ink.paste(colour, (round(px - tile.width / 2), round(py - tile.height / 2)), tile)


@lru_cache(maxsize=64)
def font(size_px: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font; Latin letters only, and no file of the system is needed."""
    return ImageFont.load_default(size=size_px)


def lettering(text: str, size_px: int) -> Image.Image:
    """The text as an L mask, cut to its own box."""
    left, top, right, bottom = (round(edge) for edge in font(size_px).getbbox(text))
    tile = Image.new("L", (max(right - left, 1), max(bottom - top, 1)), 0)
    ImageDraw.Draw(tile).text((-left, -top), text, fill=255, font=font(size_px))
    return tile


def _box(placed: Sequence[tuple[float, float]], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    left, top = max(0, math.floor(min(x for x, _ in placed))), max(0, math.floor(min(y for _, y in placed)))
    right, bottom = min(size[0], math.ceil(max(x for x, _ in placed)) + 1), min(size[1], math.ceil(max(y for _, y in placed)) + 1)
    return (left, top, right, bottom) if left < right and top < bottom else None


def shape(*points: tuple[float, float]) -> Points:
    """The points as an array."""
    return np.array(points, dtype=float)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """A rectangle."""
    return shape((left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 360.0) -> Points:
    """An ellipse around (x, y), or its arc from `start` to `stop` degrees, clockwise from the right."""
    turn = np.radians(np.linspace(start, stop, max(4, round(abs(stop - start) / 9)) + 1))
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> Points:
    """A rectangle with round corners."""
    r = min(radius, (right - left) / 2, (bottom - top) / 2)
    corners = [(right - r, bottom - r, 0), (left + r, bottom - r, 90), (left + r, top + r, 180), (right - r, top + r, 270)]
    return np.concatenate([ellipse(x, y, r, r, start, start + 90) for x, y, start in corners])


def mirrored(*right_half: tuple[float, float]) -> Points:
    """A shape symmetric about x = 0, from its right half listed from top to bottom."""
    half = shape(*right_half)
    return np.concatenate([half, (half * [-1, 1])[::-1]])


def smooth(points: Points, rounds: int = 3, closed: bool = True) -> Points:
    """The polygon with its corners cut `rounds` times (Chaikin 1974): a curve near the points."""
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0) if closed else points[1:]
        start = points if closed else points[:-1]
        cut = np.stack([0.75 * start + 0.25 * following, 0.25 * start + 0.75 * following], axis=1).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return points
