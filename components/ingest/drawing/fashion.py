"""Clothes, shoes, bags and what goes with them, each drawn from its look alone."""

import numpy as np

from components.ingest.drawing.canvas import Canvas, box, ellipse, mirrored, rounded, shape, smooth
from components.ingest.drawing.palette import INK, STEEL, WHITE, mixed, scaled
from components.ingest.drawing.patterns import Look, body, folds, globe, slope

GOLD = (214, 172, 84)


def t_shirt(c: Canvas, look: Look) -> None:
    """A T-shirt laid flat; knobs: sleeve, width, length."""
    sleeve, wide, hem = look.knob(2, -0.32, 0.05), look.knob(3, 0.46, 0.58), look.knob(4, 0.7, 0.92)
    outline = mirrored(
        (0.2, -0.84), (0.46, -0.76), (0.66, -0.62), (0.98, sleeve), (0.76, sleeve + 0.16), (wide, -0.26), (wide, 0.2), (wide + 0.02, hem)
    )
    body(c, outline, look, folds(look))
    c.stroke(shape((wide - 0.01, -0.26), (0.6, -0.56)), scaled(look.rgb, 0.6), 0.02, 0.5)
    c.stroke(shape((-wide + 0.01, -0.26), (-0.6, -0.56)), scaled(look.rgb, 0.6), 0.02, 0.5)
    c.fill(ellipse(0, -0.84, 0.21, 0.13, 0, 180), scaled(look.rgb, 0.55))
    c.stroke(ellipse(0, -0.84, 0.22, 0.16, 0, 180), scaled(look.second_rgb, 0.85), 0.05)
    c.stroke(shape((-wide, hem - 0.06), (wide, hem - 0.06)), scaled(look.rgb, 0.6), 0.015, 0.4)
    if look.text:
        c.text(look.text, 0, -0.1, 0.28, look.text_rgb, 0.85)


def dress(c: Canvas, look: Look) -> None:
    """A dress on a hanger; knobs: flare, waist, length."""
    flare, waist, hem = look.knob(2, 0.42, 0.78), look.knob(3, 0.2, 0.28), look.knob(4, 0.7, 0.98)
    c.stroke(smooth(shape((-0.3, -0.84), (0, -0.95), (0.3, -0.84)), 2, closed=False), STEEL, 0.04)
    outline = mirrored((0.1, -0.62), (0.2, -0.9), (0.3, -0.9), (0.36, -0.5), (waist, -0.12), (flare * 0.8, hem - 0.3), (flare, hem))
    body(c, outline, look, folds(look))
    c.fill(box(-waist - 0.01, -0.16, waist + 0.01, -0.06), scaled(look.second_rgb, 0.85))
    for x in (-0.5, -0.15, 0.2, 0.55):
        c.glaze(shape((x * waist, -0.05), (x * flare + 0.05, hem), (x * flare - 0.04, hem)), scaled(look.rgb, 0.5), 0.35)


def trousers(c: Canvas, look: Look) -> None:
    """Trousers laid flat; knobs: leg width at the hem, length, rise."""
    cuff, hem, crotch = look.knob(2, 0.18, 0.36), look.knob(3, 0.55, 0.97), look.knob(4, -0.38, -0.22)
    outline = mirrored((0.0, -0.92), (0.4, -0.92), (0.46, -0.4), (0.16 + cuff, hem), (0.16, hem), (0.02, crotch))
    body(c, outline, look, folds(look))
    c.fill(box(-0.41, -0.93, 0.41, -0.81), scaled(look.rgb, 0.75))
    c.stroke(shape((0, -0.82), (0, crotch)), scaled(look.rgb, 0.5), 0.025)
    for side in (-1, 1):
        c.stroke(shape((side * 0.3, -0.8), (side * 0.42, -0.58)), scaled(look.rgb, 0.5), 0.03)
        c.stroke(shape((side * 0.24, -0.6), (side * (0.16 + cuff / 2), hem - 0.04)), scaled(look.rgb, 0.6), 0.02, 0.45)
    c.fill(ellipse(0, -0.87, 0.035, 0.035), GOLD)


def skirt(c: Canvas, look: Look) -> None:
    """A pleated skirt; knobs: flare, length, pleats."""
    flare, hem, num_pleats = look.knob(2, 0.55, 0.95), look.knob(3, 0.3, 0.8), round(look.knob(4, 3, 9))
    curve = [(flare * x, hem + 0.1 * (1 - x * x)) for x in np.linspace(1, -1, 9)]
    body(c, shape((-0.34, -0.6), (0.34, -0.6), *curve), look, folds(look))
    for x in np.linspace(-0.9, 0.9, num_pleats):
        c.glaze(shape((0.33 * x, -0.5), (flare * x + 0.06, hem + 0.06), (flare * x - 0.03, hem + 0.06)), scaled(look.rgb, 0.45), 0.45)
    c.fill(box(-0.35, -0.68, 0.35, -0.52), scaled(look.second_rgb, 0.8))


def sneaker(c: Canvas, look: Look) -> None:
    """One shoe from the side, toe to the right; knobs: shaft height, sole, laces."""
    ankle, sole = look.knob(2, -0.3, -0.68), look.knob(3, 0.14, 0.26)
    shaft = shape((-0.86, 0.32), (-0.9, -0.1), (-0.86, ankle), (-0.5, ankle + 0.1), (-0.2, ankle))
    toe = shape((0.1, -0.12), (0.5, 0.02), (0.92, 0.16), (0.96, 0.34))
    body(c, smooth(np.concatenate([shaft, toe])), look, slope)
    c.fill(smooth(shape((0.5, 0.02), (0.9, 0.12), (0.97, 0.34), (0.46, 0.34))), mixed(look.rgb, WHITE, 0.7))
    c.fill(smooth(shape((-0.86, ankle + 0.02), (-0.52, ankle + 0.12), (-0.22, ankle + 0.02), (-0.5, ankle + 0.02))), scaled(look.rgb, 0.4))
    swoop = shape((-0.62, 0.12), (-0.2, 0.14), (0.3, -0.02), (0.1, 0.2), (-0.3, 0.28))
    c.fill(smooth(swoop), look.second_rgb)
    c.fill(rounded(-0.94, 0.28, 1.0, 0.28 + sole, 0.1), WHITE)
    c.stroke(shape((-0.9, 0.3 + sole * 0.5), (0.97, 0.3 + sole * 0.5)), look.second_rgb, 0.04)
    for step in range(round(look.knob(4, 3, 5))):
        x, y = -0.16 + 0.14 * step, ankle * (0.66 - 0.18 * step) + 0.02
        c.stroke(shape((x - 0.02, y + 0.16), (x + 0.14, y - 0.04)), WHITE, 0.045)


def cap(c: Canvas, look: Look) -> None:
    """A baseball cap; knobs: crown height, brim length, brim curve."""
    top, brim, drop = look.knob(2, -0.75, -0.45), look.knob(3, 0.75, 1.0), look.knob(4, 0.36, 0.56)
    crown = np.concatenate([ellipse(-0.2, 0.2, 0.68, 0.2 - top, 180, 360), shape((0.48, 0.26), (-0.88, 0.26))])
    body(c, crown, look, globe(-0.2, -0.1, 0.9))
    visor = smooth(shape((-0.1, 0.16), (0.5, 0.1), (brim, drop - 0.1), (brim - 0.1, drop), (0.4, 0.34), (-0.3, 0.3)))
    c.fill(visor, scaled(look.second_rgb, 0.85))
    c.stroke(ellipse(-0.2, 0.2, 0.3, 0.2 - top, 180, 360), scaled(look.rgb, 0.55), 0.02, 0.6)
    c.fill(ellipse(-0.2, top, 0.07, 0.05), scaled(look.second_rgb, 0.8))
    if look.text:
        c.text(look.text[:2], -0.08, top * 0.35, 0.3, look.text_rgb, 0.5)


def handbag(c: Canvas, look: Look) -> None:
    """A handbag from the front; knobs: taper, height, handle height, flap."""
    taper, top, reach, flap = look.knob(2, 0.5, 0.78), look.knob(3, -0.3, 0.0), look.knob(4, 0.35, 0.65), look.knob(5, 0.15, 0.5)
    c.stroke(ellipse(0, top + 0.02, taper * 0.6, reach, 180, 360), scaled(look.rgb, 0.62), 0.09)
    outline = mirrored((taper, top), (0.84, 0.7), (0.74, 0.8))
    body(c, outline, look, slope)
    flap_y = top + flap * (0.8 - top) + 0.12
    c.fill(smooth(mirrored((taper, top), (taper + 0.03, flap_y - 0.12), (0.3, flap_y)), 1), mixed(look.second_rgb, look.rgb, 0.35))
    c.stroke(shape((-0.76, 0.72), (0.76, 0.72)), scaled(look.rgb, 0.6), 0.02)
    c.fill(rounded(-0.08, flap_y - 0.14, 0.08, flap_y + 0.04, 0.03), GOLD)


def backpack(c: Canvas, look: Look) -> None:
    """A backpack from the front; knobs: width, pocket height, round top."""
    wide, pocket, curve = look.knob(2, 0.5, 0.68), look.knob(3, 0.05, 0.35), look.knob(4, 0.3, 0.6)
    c.stroke(ellipse(0, -0.8, 0.16, 0.17, 180, 360), scaled(look.rgb, 0.55), 0.07)
    for side in (-1, 1):
        c.fill(rounded(side * wide - 0.13, -0.1, side * wide + 0.13, 0.72, 0.1), scaled(look.rgb, 0.62))
    body(c, rounded(-wide, -0.84, wide, 0.88, curve), look, slope)
    c.fill(rounded(-wide * 0.8, pocket, wide * 0.8, 0.78, 0.14), scaled(look.second_rgb, 0.88))
    c.stroke(shape((-wide * 0.72, pocket + 0.12), (wide * 0.72, pocket + 0.12)), INK, 0.03)
    c.stroke(ellipse(0, -0.16, wide * 0.9, 0.5, 200, 340), scaled(look.rgb, 0.45), 0.03)
    c.fill(box(-0.035, pocket + 0.1, 0.035, pocket + 0.26), STEEL)


def ring(c: Canvas, look: Look) -> None:
    """A finger ring with a stone of the product's colour; knobs: band, stone width, stone cut, gold or silver."""
    band, wide, tall = look.knob(2, 0.09, 0.17), look.knob(3, 0.2, 0.42), look.knob(4, 0.2, 0.34)
    metal = GOLD if look.knobs[5] > 0.5 else STEEL
    c.stroke(ellipse(0, 0.28, 0.58, 0.6), scaled(metal, 0.78), band)
    c.stroke(ellipse(0, 0.26, 0.59, 0.6, 190, 350), scaled(metal, 1.12), band * 0.4)
    c.fill(shape((-wide, -0.36), (wide, -0.36), (wide * 0.4, -0.18), (-wide * 0.4, -0.18)), scaled(metal, 0.9))
    cut = ((-wide, -0.52), (-wide * 0.55, -0.52 - tall), (wide * 0.55, -0.52 - tall), (wide, -0.52), (0.0, -0.2))
    c.fill(shape(*cut), look.rgb)
    c.fill(shape(cut[0], cut[1], (-wide * 0.3, -0.52)), mixed(look.rgb, WHITE, 0.45))
    c.fill(shape(cut[1], cut[2], (wide * 0.3, -0.52), (-wide * 0.3, -0.52)), mixed(look.rgb, WHITE, 0.25))
    c.fill(shape((wide * 0.3, -0.52), cut[3], cut[4]), scaled(look.rgb, 0.7))


def sunglasses(c: Canvas, look: Look) -> None:
    """Sunglasses from the front; knobs: lens width, lens height, roundness."""
    wide, tall, curve = look.knob(2, 0.32, 0.42), look.knob(3, 0.22, 0.38), look.knob(4, 0.08, 0.4)
    c.stroke(smooth(shape((-0.16, -0.06), (0, -0.16), (0.16, -0.06)), 2, closed=False), look.rgb, 0.08)
    for side in (-1, 1):
        x = side * 0.5
        c.stroke(shape((x + side * wide, -0.1), (side * 0.97, -0.3)), scaled(look.rgb, 0.8), 0.09)
        body(c, rounded(x - wide - 0.07, -tall - 0.07, x + wide + 0.07, tall + 0.07, curve + 0.07), look, slope)
        c.fill(rounded(x - wide, -tall, x + wide, tall, curve), scaled(look.second_rgb, 0.42))
        c.glaze(shape((x - wide * 0.6, -tall * 0.8), (x - wide * 0.1, -tall * 0.8), (x - wide * 0.5, tall * 0.6)), WHITE, 0.3)
