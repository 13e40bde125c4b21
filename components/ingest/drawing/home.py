"""Things for the house, each drawn from its look alone."""

import math

import numpy as np

from components.ingest.drawing.canvas import Canvas, box, ellipse, mirrored, rounded, shape, smooth
from components.ingest.drawing.palette import INK, STEEL, WHITE, WOOD, mixed, scaled
from components.ingest.drawing.patterns import Look, body, slope, tube

LEAF = (70, 140, 74)
GLOW = (255, 238, 190)


def mug(c: Canvas, look: Look) -> None:
    """A mug, handle to the right; knobs: width, height, handle, taper."""
    wide, top, handle, taper = look.knob(2, 0.44, 0.6), look.knob(3, -0.7, -0.35), look.knob(4, 0.2, 0.36), look.knob(5, 0.75, 1.0)
    middle = (top + 0.72) / 2
    c.stroke(ellipse(wide - 0.02, middle, handle, handle * 1.15, -100, 100), scaled(look.rgb, 0.8), 0.12)
    side = np.concatenate([ellipse(0, 0.68, wide * taper, 0.14, 0, 180), shape((-wide, top), (wide, top))])
    body(c, side, look, tube(wide))
    c.fill(ellipse(0, top, wide, 0.15), mixed(look.rgb, WHITE, 0.35))
    c.fill(ellipse(0, top + 0.02, wide * 0.88, 0.11), scaled(look.rgb, 0.45))
    if look.text:
        c.text(look.text, -0.02, middle + 0.04, 0.26, look.text_rgb, wide * 1.5)


def bottle(c: Canvas, look: Look) -> None:
    """A water bottle; knobs: width, shoulder, cap height."""
    wide, shoulder, lid = look.knob(2, 0.24, 0.38), look.knob(3, -0.55, -0.25), look.knob(4, 0.14, 0.28)
    neck = wide * 0.5
    body(c, mirrored((neck, -0.72), (wide, shoulder), (wide, 0.88), (wide * 0.9, 0.94)), look, tube(wide))
    c.fill(rounded(-neck - 0.04, -0.72 - lid, neck + 0.04, -0.68, 0.05), scaled(look.second_rgb, 0.85))
    c.stroke(ellipse(0, -0.74 - lid * 0.7, 0.12, 0.12, 180, 360), scaled(look.second_rgb, 0.7), 0.05)
    c.fill(box(-wide, 0.56, wide, 0.62), scaled(look.second_rgb, 0.8))
    if look.text:
        c.text(look.text, 0, 0.2, 0.2, look.text_rgb, wide * 1.6)


def lamp(c: Canvas, look: Look) -> None:
    """A table lamp with a shade of the product's colour; knobs: shade taper, shade height, stem, base."""
    top, low, base = look.knob(2, 0.22, 0.5), look.knob(3, -0.2, 0.1), look.knob(4, 0.28, 0.48)
    stem = WOOD if look.knobs[5] > 0.5 else STEEL
    c.fill(box(-0.06, low - 0.1, 0.06, 0.84), scaled(stem, 0.9))
    c.fill(ellipse(0, (low + 0.8) / 2 + 0.05, 0.17, 0.26), stem)
    c.glaze(ellipse(-0.06, (low + 0.8) / 2, 0.05, 0.18), WHITE, 0.35)
    c.fill(ellipse(0, 0.84, base, 0.1), scaled(stem, 0.75))
    body(c, shape((-top, -0.9), (top, -0.9), (0.68, low), (-0.68, low)), look, tube(0.9))
    c.fill(ellipse(0, low, 0.68, 0.08), GLOW)
    c.fill(ellipse(0, -0.9, top, 0.05), scaled(look.rgb, 0.7))


def chair(c: Canvas, look: Look) -> None:
    """A chair from a little to the side; knobs: back height, seat width, slats, wood or steel legs."""
    top, wide, num_slats = look.knob(2, -0.95, -0.6), look.knob(3, 0.42, 0.58), round(look.knob(4, 0, 4))
    legs = WOOD if look.knobs[5] > 0.4 else INK
    for x, low in ((-wide + 0.02, 0.9), (wide - 0.14, 0.9), (-wide + 0.24, 0.72), (wide + 0.12, 0.72)):
        c.stroke(shape((x, 0.14), (x + 0.02, low)), scaled(legs, 0.85), 0.08)
    back = rounded(-wide + 0.16, top, wide + 0.18, 0.06, 0.1)
    if num_slats < 2:
        body(c, back, look, slope)
    else:
        c.stroke(np.concatenate([back, back[:1]]), look.rgb, 0.1)
        for x in np.linspace(-wide + 0.3, wide + 0.04, num_slats):
            body(c, box(x - 0.05, top, x + 0.05, 0.08), look, slope)
    body(c, shape((-wide + 0.16, 0.0), (wide + 0.2, 0.0), (wide, 0.2), (-wide - 0.02, 0.2)), look, slope)
    c.fill(box(-wide - 0.02, 0.2, wide, 0.28), scaled(look.rgb, 0.62))


def clock(c: Canvas, look: Look) -> None:
    """A wall clock with a frame of the product's colour; knobs: frame, hour, minute, square or round."""
    frame, hour, minute = look.knob(2, 0.1, 0.24), look.knob(3, 0, 2 * math.pi), look.knob(4, 0, 2 * math.pi)
    if look.knobs[5] > 0.7:
        body(c, rounded(-0.86, -0.86, 0.86, 0.86, 0.16), look, slope)
    else:
        body(c, ellipse(0, 0, 0.9, 0.9), look, slope)
    inner = 0.9 - frame
    c.fill(ellipse(0, 0, inner, inner), WHITE)
    for tick in range(12):
        ray = shape((math.cos(tick * math.pi / 6), math.sin(tick * math.pi / 6)))
        c.stroke(np.concatenate([ray * inner * 0.8, ray * inner * 0.94]), INK, 0.06 if tick % 3 == 0 else 0.03)
    for angle, length, width in ((hour, 0.5, 0.08), (minute, 0.76, 0.05)):
        c.stroke(shape((0, 0), (inner * length * math.cos(angle), inner * length * math.sin(angle))), INK, width)
    c.fill(ellipse(0, 0, 0.07, 0.07), scaled(look.second_rgb, 0.85))


def plant_pot(c: Canvas, look: Look) -> None:
    """A plant in a pot of the product's colour; knobs: pot taper, leaves, leaf length."""
    taper, num_leaves, reach = look.knob(2, 0.24, 0.42), round(look.knob(3, 5, 9)), look.knob(4, 0.65, 0.95)
    for angle in np.linspace(-70, 70, num_leaves):
        turn = math.radians(angle)
        tip = np.array([math.sin(turn), -math.cos(turn)]) * reach
        side = np.array([math.cos(turn), math.sin(turn)]) * 0.13
        foot = np.array([0.0, 0.1])
        leaf = np.array([foot, foot + tip * 0.5 + side, foot + tip, foot + tip * 0.5 - side])
        c.fill(smooth(leaf, 2), scaled(LEAF, 0.75 + 0.4 * abs(angle) / 70))
        c.stroke(np.array([foot, foot + tip * 0.9]), scaled(LEAF, 0.6), 0.02)
    side_wall = np.concatenate([ellipse(0, 0.86, taper, 0.07, 0, 180), shape((-0.5, 0.12), (0.5, 0.12))])
    body(c, side_wall, look, tube(0.55))
    c.fill(rounded(-0.55, 0.02, 0.55, 0.2, 0.05), scaled(look.rgb, 0.85))
