"""Electronics, books, music, toys and sport, each drawn from its look alone."""

import numpy as np

from components.ingest.drawing.canvas import Canvas, box, ellipse, rounded, shape, smooth
from components.ingest.drawing.palette import INK, STEEL, WHITE, WOOD, mixed, scaled
from components.ingest.drawing.patterns import Look, body, globe, slope, tube

GLASS = (30, 34, 44)
PAPER = (238, 232, 216)
SKY = (150, 190, 214)


def headphones(c: Canvas, look: Look) -> None:
    """Headphones from the front; knobs: band width, band height, cup size."""
    band, top, cup = look.knob(2, 0.1, 0.18), look.knob(3, -0.85, -0.6), look.knob(4, 0.3, 0.44)
    c.stroke(ellipse(0, 0.1, 0.66, 0.1 - top, 180, 360), scaled(look.second_rgb, 0.75), band)
    c.stroke(ellipse(0, 0.1, 0.66, 0.1 - top, 230, 310), look.rgb, band * 1.3)
    for side in (-1, 1):
        c.fill(rounded(side * 0.5 - 0.14, 0.32 - cup, side * 0.5 + 0.14, 0.32 + cup, 0.14), GLASS)
        x = side * 0.7
        body(c, rounded(x - 0.19, 0.32 - cup * 1.05, x + 0.19, 0.32 + cup * 1.05, 0.18), look, globe(x, 0.3, 0.5))
        c.fill(ellipse(x, 0.32, 0.07, cup * 0.5), scaled(look.rgb, 0.65))


def phone(c: Canvas, look: Look) -> None:
    """A smartphone, front and back side by side; knobs: width, roundness, lenses, screen hue."""
    wide, curve, num_lenses = look.knob(2, 0.38, 0.46), look.knob(3, 0.06, 0.16), round(look.knob(4, 1, 3))
    body(c, rounded(-0.92, -0.84, -0.92 + 2 * wide, 0.84, curve), look, slope)
    c.fill(rounded(-0.86, -0.78, -0.86 + 0.32, -0.74 + 0.26 * num_lenses, 0.08), scaled(look.rgb, 0.72))
    for lens in range(num_lenses):
        c.fill(ellipse(-0.7, -0.63 + 0.25 * lens, 0.1, 0.1), INK)
        c.fill(ellipse(-0.72, -0.65 + 0.25 * lens, 0.03, 0.03), STEEL)
    left = 0.92 - 2 * wide
    c.fill(rounded(left, -0.84, 0.92, 0.84, curve), scaled(look.rgb, 0.8))
    c.fill(rounded(left + 0.05, -0.79, 0.87, 0.79, curve), mixed(GLASS, look.second_rgb, 0.25))
    for row in range(4):
        for column in range(3):
            x, y = left + 0.14 + column * (2 * wide - 0.28) / 3 + 0.04, -0.5 + 0.3 * row
            c.fill(rounded(x, y, x + 0.14, y + 0.16, 0.04), mixed(look.second_rgb, SKY, 0.3 + 0.2 * ((row + column) % 3)))


def camera(c: Canvas, look: Look) -> None:
    """A compact camera from the front; knobs: height, lens size, lens place."""
    top, lens, x = look.knob(2, -0.42, -0.28), look.knob(3, 0.3, 0.42), look.knob(4, -0.1, 0.28)
    c.fill(rounded(x - 0.26, top - 0.22, x + 0.26, top + 0.1, 0.06), scaled(look.second_rgb, 0.75))
    c.fill(rounded(-0.78, top - 0.1, -0.5, top + 0.1, 0.04), STEEL)
    body(c, rounded(-0.94, top, 0.94, 0.6, 0.12), look, slope)
    c.fill(box(-0.94, top + 0.12, 0.94, top + 0.2), scaled(look.rgb, 0.7))
    for radius, colour in ((lens, STEEL), (lens * 0.86, INK), (lens * 0.6, (52, 58, 92)), (lens * 0.3, GLASS)):
        c.fill(ellipse(x, 0.14, radius, radius), colour)
    c.fill(ellipse(x - lens * 0.3, 0.14 - lens * 0.3, lens * 0.12, lens * 0.12), WHITE)
    c.fill(rounded(0.66, top + 0.03, 0.86, top + 0.15, 0.03), (255, 244, 200))


def book(c: Canvas, look: Look) -> None:
    """A book, cover to the front; knobs: width, thickness, cover design."""
    wide, thick = look.knob(2, 0.52, 0.68), look.knob(3, 0.06, 0.16)
    c.fill(shape((wide, -0.86), (wide + thick, -0.8), (wide + thick, 0.9), (wide, 0.86)), PAPER)
    for share in (0.3, 0.6):
        c.stroke(shape((wide + thick * share, -0.82), (wide + thick * share, 0.88)), scaled(PAPER, 0.8), 0.012)
    body(c, box(-wide, -0.88, wide, 0.88), look, slope)
    c.glaze(box(-wide, -0.88, -wide + 0.12, 0.88), INK, 0.28)
    if look.knobs[4] < 0.5:
        c.fill(ellipse(0.06, 0.34, 0.3, 0.3), look.second_rgb)
        c.fill(ellipse(0.06, 0.34, 0.16, 0.16), look.rgb)
    else:
        c.fill(shape((-0.3, 0.7), (0.06, 0.1), (0.42, 0.7)), look.second_rgb)
    c.fill(box(-wide + 0.2, -0.66, wide - 0.1, -0.24), PAPER)
    c.text(look.text or "NOVEL", 0.05, -0.45, 0.26, INK, 2 * wide - 0.42)


def guitar(c: Canvas, look: Look) -> None:
    """An acoustic guitar, upright; knobs: lower bout, waist, neck."""
    low, upper, head = look.knob(2, 0.4, 0.54), look.knob(3, 0.3, 0.4), look.knob(4, -0.85, -0.7)
    c.fill(box(-0.07, head, 0.07, 0.2), scaled(WOOD, 0.6))
    c.fill(shape((-0.12, head - 0.14), (0.12, head - 0.14), (0.08, head + 0.08), (-0.08, head + 0.08)), scaled(WOOD, 0.45))
    outline = mirrored_curve((0.0, -0.12), (upper, -0.08), (upper, 0.16), (upper * 0.72, 0.28), (low, 0.44), (low, 0.86), (0.0, 0.96))
    body(c, outline, look, globe(0, 0.4, 1.0))
    c.stroke(np.concatenate([outline, outline[:1]]), scaled(look.second_rgb, 0.5), 0.035)
    c.fill(ellipse(0, 0.26, 0.14, 0.14), INK)
    c.fill(box(-0.17, 0.6, 0.17, 0.67), scaled(WOOD, 0.4))
    for x in (-0.036, 0.0, 0.036):
        c.stroke(shape((x, head), (x, 0.63)), WHITE, 0.012)


def mirrored_curve(*right_half: tuple[float, float]) -> np.ndarray:
    """A smooth shape symmetric about x = 0, from its right half listed from top to bottom."""
    half = shape(*right_half)
    return smooth(np.concatenate([half, (half * [-1, 1])[::-1]]))


def toy_car(c: Canvas, look: Look) -> None:
    """A toy car from the side; knobs: roof, cabin, wheels."""
    roof, cabin, wheel = look.knob(2, -0.56, -0.34), look.knob(3, -0.6, -0.3), look.knob(4, 0.18, 0.27)
    rear = shape((-0.95, 0.3), (-0.93, -0.02), (cabin - 0.1, -0.08), (cabin + 0.12, roof))
    front = shape((0.3, roof), (0.56, -0.06), (0.92, 0.04), (0.96, 0.3))
    body(c, smooth(np.concatenate([rear, front]), 2), look, slope)
    middle = (cabin + 0.46) / 2
    c.fill(shape((cabin + 0.06, -0.1), (cabin + 0.2, roof + 0.09), (middle - 0.02, roof + 0.09), (middle - 0.02, -0.1)), SKY)
    c.fill(shape((middle + 0.04, -0.1), (middle + 0.04, roof + 0.09), (0.26, roof + 0.09), (0.44, -0.1)), SKY)
    c.fill(box(-0.9, 0.1, 0.92, 0.16), look.second_rgb)
    c.fill(ellipse(0.88, 0.08, 0.06, 0.05), (255, 236, 150))
    for x in (-0.54, 0.54):
        c.fill(ellipse(x, 0.32, wheel, wheel), INK)
        c.fill(ellipse(x, 0.32, wheel * 0.5, wheel * 0.5), STEEL)


def ball(c: Canvas, look: Look) -> None:
    """A beach ball with slices of a second colour; knobs: slices, turn, cap size."""
    num_slices, turn, cap = round(look.knob(2, 1, 2)), np.radians(look.knob(3, -60, 60)), look.knob(4, 0.1, 0.22)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    body(c, ellipse(0, 0, 0.88, 0.88), look, globe(0, 0, 0.95))
    edges = np.cos(np.linspace(0, np.pi, 2 * num_slices + 2)) * 0.87
    for left, right in zip(edges[1::2], edges[2::2], strict=False):
        slice_ = np.concatenate([ellipse(0, 0, left, 0.87, -90, 90), ellipse(0, 0, right, 0.87, 90, -90)])
        c.fill(slice_ @ spin, scaled(look.second_rgb, 0.92))
    c.fill(ellipse(0, -0.8, cap, cap * 0.5) @ spin, WHITE)
    c.glaze(ellipse(0, 0, 0.88, 0.88, 20, 130), INK, 0.18)
    c.glaze(ellipse(-0.36, -0.42, 0.2, 0.13), WHITE, 0.45)


def drum(c: Canvas, look: Look) -> None:
    """A drum: shell of the product's colour between two rims; knobs: width, height, sticks."""
    wide, top, low = look.knob(2, 0.6, 0.82), look.knob(3, -0.4, -0.15), look.knob(4, 0.45, 0.7)
    shell = np.concatenate([ellipse(0, low, wide, 0.2, 0, 180), shape((-wide, top), (wide, top))])
    body(c, shell, look, tube(wide))
    c.stroke(ellipse(0, low, wide, 0.2, 0, 180), STEEL, 0.07)
    c.fill(ellipse(0, top, wide + 0.02, 0.24), STEEL)
    c.fill(ellipse(0, top, wide - 0.06, 0.19), PAPER)
    for x in np.linspace(-0.8, 0.8, 5):
        c.stroke(shape((x * wide, top + 0.24), (x * wide, low + 0.14)), STEEL, 0.04)
    for side in (-1, 1):
        c.stroke(shape((side * 0.1, top - 0.02), (side * 0.6, -0.85)), WOOD, 0.06)
