"""Product kinds that the simulated market does not have, so that no encoder was taught on them."""

import numpy as np

from components.ingest.drawing.backdrops import BACKDROPS, backdrop
from components.ingest.drawing.canvas import Canvas, box, ellipse, rounded, shape
from components.ingest.drawing.defects import Defect, spoil
from components.ingest.drawing.kinds import CANVAS, ELECTRONICS, FASHION, HOBBY, NYLON, PLASTIC, RUBBER, STEEL, Kind, new_look
from components.ingest.drawing.palette import INK, WOOD, scaled
from components.ingest.drawing.patterns import Look, body, globe, slope
from components.ingest.drawing.photo import encode, new_pose

METAL = (188, 192, 198)


def bicycle(c: Canvas, look: Look) -> None:
    """A bicycle from the side; knobs: wheel size, frame height, handlebar."""
    wheel, seat, bar = look.knob(2, 0.4, 0.46), look.knob(3, -0.5, -0.3), look.knob(4, -0.62, -0.45)
    for x in (-0.52, 0.52):
        c.stroke(ellipse(x, 0.4, wheel, wheel), INK, 0.07)
        c.stroke(ellipse(x, 0.4, wheel * 0.85, wheel * 0.85), METAL, 0.02)
        for turn in np.linspace(0, np.pi, 5)[:-1]:
            c.stroke(wheel * shape((np.cos(turn), np.sin(turn)), (-np.cos(turn), -np.sin(turn))) + [x, 0.4], METAL, 0.015)
    crank, head, post = (-0.06, 0.42), (0.34, seat + 0.08), (-0.22, seat + 0.12)
    for line in ((crank, head), (crank, post), (post, head), (post, (-0.52, 0.4)), (crank, (-0.52, 0.4)), ((0.3, bar), (0.52, 0.4))):
        c.stroke(shape(*line), look.rgb, 0.075)
    c.stroke(shape((0.3, bar), (0.52, bar - 0.06)), look.second_rgb, 0.06)
    c.fill(rounded(-0.42, seat, -0.06, seat + 0.1, 0.05), scaled(look.second_rgb, 0.6))
    c.fill(ellipse(*crank, 0.12, 0.12), METAL)


def umbrella(c: Canvas, look: Look) -> None:
    """An open umbrella; knobs: width, ribs, handle."""
    wide, ribs, hook = look.knob(2, 0.78, 0.94), round(look.knob(3, 2, 4)), look.knob(4, 0.1, 0.16)
    c.stroke(shape((0, -0.9), (0, 0.78)), scaled(WOOD, 0.7), 0.05)
    c.stroke(ellipse(-hook, 0.78, hook, hook, 0, 180), scaled(WOOD, 0.55), 0.07)
    body(c, ellipse(0, 0, wide, 0.8, 180, 360), look, globe(0, 0, 1.0))
    for number in range(ribs):
        x = wide * (2 * (number + 1) / (ribs + 1) - 1)
        c.stroke(shape((0, -0.8), (x * 0.7, -0.45), (x, 0)), scaled(look.second_rgb, 0.8), 0.025)


def keyboard(c: Canvas, look: Look) -> None:
    """A computer keyboard from above; knobs: height, rows, key shade."""
    tall, rows, shade = look.knob(2, 0.3, 0.4), round(look.knob(3, 4, 5)), look.knob(4, 0.5, 1.0)
    body(c, rounded(-0.97, -tall, 0.97, tall, 0.08), look, slope)
    high = (2 * tall - 0.12) / rows
    for row in range(rows):
        top = -tall + 0.06 + row * high
        for key in range(12):
            left = -0.9 + 0.15 * key
            c.fill(rounded(left, top, left + 0.12, top + high - 0.03, 0.02), scaled(look.second_rgb, shade))
    c.fill(box(-0.45, tall - high - 0.06, 0.3, tall - 0.09), scaled(look.second_rgb, shade * 0.9))


_ALL = (
    Kind("bicycle", bicycle, (HOBBY, "Sports", "Bicycles"), ("bicycle", "自転車"), 14500, (STEEL, RUBBER)),
    Kind("umbrella", umbrella, (FASHION, "Accessories", "Umbrellas"), ("umbrella", "傘"), 2300, (NYLON, CANVAS)),
    Kind("keyboard", keyboard, (ELECTRONICS, "Computers", "Keyboards"), ("keyboard", "キーボード"), 5400, (PLASTIC,)),
)
NEW_KINDS = {kind.name: kind for kind in _ALL}


def photo_of(kind: Kind, defects: tuple[Defect, ...], side_px: int, rng: np.random.Generator) -> tuple[bytes, Look]:
    """A photo of a new product of the kind, as JPEG, and how the product looks. Of the defects those of camera and editing show."""
    look, pose = new_look(kind, rng), new_pose(rng)
    scene = backdrop(BACKDROPS[int(rng.integers(len(BACKDROPS)))], (side_px, side_px), rng)
    canvas = Canvas(scene.size, pose, look.rgb)
    kind.draw(canvas, look)
    scene.paste(canvas.ink.resize(scene.size), (0, 0), canvas.mask.resize(scene.size))
    return encode(spoil(scene, defects, rng), int(rng.integers(68, 96))), look
