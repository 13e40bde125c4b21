"""What stands behind a product: plain paper, a table against a wall, cloth or wood."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from components.ingest.drawing.palette import RGB, jittered

BACKDROPS = ("plain", "table", "cloth", "wood")
_PAPERS: tuple[RGB, ...] = ((246, 246, 244), (232, 230, 226), (222, 228, 232), (240, 232, 220))
_WALLS: tuple[RGB, ...] = ((226, 220, 208), (202, 212, 214), (214, 206, 214), (188, 196, 184))
_TABLES: tuple[RGB, ...] = ((150, 112, 78), (206, 200, 192), (96, 82, 74), (182, 150, 112))
_CLOTHS: tuple[RGB, ...] = ((188, 178, 166), (120, 130, 150), (206, 190, 190), (146, 158, 140), (96, 92, 98))
_WOODS: tuple[RGB, ...] = ((176, 134, 92), (128, 92, 62), (204, 172, 132))


def backdrop(name: str, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """An empty scene of that name in RGB; rng decides its colours and grain."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    short_px = np.float32(min(size))
    pixels = _DRAW[name](x / short_px, y / short_px, rng)
    light = 1.05 - 0.12 * (y / height) + np.float32(rng.uniform(-0.08, 0.08)) * (x / width - 0.5)
    pixels = pixels * light[..., None] + _grain(size, rng)[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _grain(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.0, 1.6, (size[1], size[0])).astype(np.float32)


def _one_of(colours: tuple[RGB, ...], rng: np.random.Generator) -> np.ndarray:
    return np.array(jittered(colours[int(rng.integers(len(colours)))], rng, 6.0), np.float32)


def _plain(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(_one_of(_PAPERS, rng), (*x.shape, 3)).copy()


def _table(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    wall, table, edge = _one_of(_WALLS, rng), _one_of(_TABLES, rng), np.float32(rng.uniform(0.6, 0.72) * y.max())
    below = (y > edge)[..., None]
    near_edge = np.exp(-np.abs(y - edge) * 30)[..., None]
    grain = (6 * np.sin(70 * y + 2 * np.sin(5 * x)))[..., None]
    return np.asarray(np.where(below, table + grain, wall) * (1 - 0.18 * near_edge))


def _cloth(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase, turn = rng.uniform(0, 6, 3), rng.uniform(0, np.pi)
    along = (np.cos(turn) * x + np.sin(turn) * y).astype(np.float32)
    creases = np.sin(9 * along + 1.5 * np.sin(4 * x + phase[0]) + phase[1]) + 0.6 * np.sin(15 * along + 2 * np.sin(3 * y + phase[2]))
    weave = np.sin(180 * x) * np.sin(180 * y)
    return np.asarray(_one_of(_CLOTHS, rng) * (1 + 0.055 * creases + 0.03 * weave)[..., None])


def _wood(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    num_planks, phase = rng.uniform(3, 5), rng.uniform(0, 6, 2)
    plank = np.floor(x * num_planks)
    tone = 1 + 0.07 * np.sin(plank * 12.9 + phase[0])
    rings = 0.06 * np.sin(46 * x + 3 * np.sin(2.2 * y + plank * 2.1 + phase[1])) + 0.03 * np.sin(130 * x + 4 * np.sin(3 * y))
    gap = np.mod(x * num_planks, 1.0) < 0.025
    return np.asarray(_one_of(_WOODS, rng) * np.where(gap, 0.55, tone + rings)[..., None])


_DRAW: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "plain": _plain,
    "table": _table,
    "cloth": _cloth,
    "wood": _wood,
}
