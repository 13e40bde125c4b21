"""A seller's photo of one product, from its parameters to encoded bytes. Equal parameters give equal bytes."""

import dataclasses
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from components.ingest.drawing.backdrops import backdrop
from components.ingest.drawing.canvas import Canvas, Pose
from components.ingest.drawing.defects import Defect, cut_share, num_strangers, quality_of, spoil, tilt_degrees
from components.ingest.drawing.kinds import KINDS, Kind, new_look
from components.ingest.drawing.patterns import Look

SHADOW = (24, 20, 24)


@dataclass(frozen=True)
class Photo:
    """Everything that decides a photo's pixels. `seed` drives grain and what lies around; `jpeg_quality` only the encoding."""

    kind: str
    look: Look
    pose: Pose
    backdrop: str
    size: tuple[int, int]
    defects: tuple[Defect, ...]
    jpeg_quality: int
    seed: tuple[int, ...]

    @property
    def quality(self) -> float:
        """True quality in [0, 1], see quality_of."""
        return quality_of(self.defects)


def new_pose(rng: np.random.Generator) -> Pose:
    """A product held still, nearly upright and nearly in the middle."""
    return Pose(
        x=float(rng.uniform(0.45, 0.55)),
        y=float(rng.uniform(0.45, 0.53)),
        scale=float(rng.uniform(0.33, 0.45)),
        angle=float(rng.normal(0, 3.0)),
        squeeze=float(rng.uniform(0.86, 1.0)),
        flip=bool(rng.random() < 0.5),
    )


def take(photo: Photo) -> Image.Image:
    """The photo in RGB: scene, shadow, product, then what camera and editing spoiled."""
    rng = np.random.default_rng(photo.seed)
    named = dict(photo.defects)
    scene = backdrop(photo.backdrop, photo.size, rng)
    angle = tilt_degrees(named["tilt"]) * (1 if rng.random() < 0.5 else -1) if "tilt" in named else 0.0
    zoom = _zoom_to_fill(angle, photo.size)
    for _ in range(num_strangers(named["clutter"]) if "clutter" in named else 0):
        scene = _with_stranger(scene, 0.12 + 0.13 * named["clutter"], rng)
    pose = _cut_off(photo, cut_share(named["crop"]), rng) if "crop" in named else photo.pose
    scene = _with_product(scene, KINDS[photo.kind], photo.look, _smaller(pose, zoom))
    if angle:
        scene = _turned(scene, angle, zoom)
    return spoil(scene, photo.defects, rng)


def encode(picture: Image.Image, jpeg_quality: int) -> bytes:
    """JPEG bytes."""
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=jpeg_quality)
    return sink.getvalue()


def _smaller(pose: Pose, zoom: float) -> Pose:
    return dataclasses.replace(pose, x=0.5 + (pose.x - 0.5) / zoom, y=0.5 + (pose.y - 0.5) / zoom, scale=pose.scale / zoom)


def _cut_off(photo: Photo, share: float, rng: np.random.Generator) -> Pose:
    """The pose moved towards one side until `share` of the product is outside."""
    pose = dataclasses.replace(photo.pose, x=0.5, y=0.5, scale=photo.pose.scale * 1.1)
    left, top, right, bottom = _extent(photo, pose)
    side = int(rng.integers(4))
    if side == 0:
        return dataclasses.replace(pose, x=0.5 - left - share * (right - left))
    if side == 1:
        return dataclasses.replace(pose, x=1.5 - right + share * (right - left))
    if side == 2:
        return dataclasses.replace(pose, y=0.5 - top - share * (bottom - top))
    return dataclasses.replace(pose, y=1.5 - bottom + share * (bottom - top))


def _extent(photo: Photo, pose: Pose) -> tuple[float, float, float, float]:
    """The box that the product covers, in shares of the picture's width and height, from a small drawing of it."""
    size = (photo.size[0] // 4, photo.size[1] // 4)
    canvas = Canvas(size, pose, photo.look.rgb)
    KINDS[photo.kind].draw(canvas, photo.look)
    left, top, right, bottom = canvas.mask.getbbox() or (0, 0, 1, 1)
    return left / canvas.mask.width, top / canvas.mask.height, right / canvas.mask.width, bottom / canvas.mask.height


def _with_product(scene: Image.Image, kind: Kind, look: Look, pose: Pose) -> Image.Image:
    canvas = Canvas(scene.size, pose, look.rgb)
    kind.draw(canvas, look)
    mask = canvas.mask.resize(scene.size, Image.Resampling.LANCZOS)
    scene = _with_shadow(scene, mask)
    scene.paste(canvas.ink.resize(scene.size, Image.Resampling.LANCZOS), (0, 0), mask)
    return scene


def _with_shadow(scene: Image.Image, mask: Image.Image) -> Image.Image:
    width, height = scene.size
    small = mask.resize((width // 4, height // 4), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(1.4))
    soft = small.resize(scene.size, Image.Resampling.BILINEAR).point([round(value * 0.42) for value in range(256)])
    scene.paste(SHADOW, (round(width * 0.025), round(height * 0.03)), soft)
    return scene


def _with_stranger(scene: Image.Image, scale: float, rng: np.random.Generator) -> Image.Image:
    kind = list(KINDS.values())[int(rng.integers(len(KINDS)))]
    turn, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.36, 0.5)
    pose = dataclasses.replace(
        new_pose(rng),
        x=0.5 + away * math.cos(turn),
        y=0.5 + away * math.sin(turn),
        scale=scale * float(rng.uniform(0.85, 1.15)),
        angle=float(rng.uniform(-60, 60)),
    )
    return _with_product(scene, kind, new_look(kind, rng), pose)


def _zoom_to_fill(angle: float, size: tuple[int, int]) -> float:
    turn, aspect = math.radians(abs(angle)), max(size) / min(size)
    return math.cos(turn) + aspect * math.sin(turn)


def _turned(scene: Image.Image, angle: float, zoom: float) -> Image.Image:
    turn, (cx, cy) = math.radians(angle), (scene.width / 2, scene.height / 2)
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    inverse = (cos, sin, cx - cos * cx - sin * cy, -sin, cos, cy + sin * cx - cos * cy)
    return scene.transform(scene.size, Image.Transform.AFFINE, inverse, resample=Image.Resampling.BICUBIC)
