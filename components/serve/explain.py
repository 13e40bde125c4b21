"""What moves a photo's Image Score: which of its regions raise or lower it, and where its pixel statistics stand in the catalogue."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.serve.index.generation import Generation
from components.serve.pictures.seen import Pictures
from components.serve.served import Served

NUM_COMPARED = 500  # items that stand for the catalogue: a percentile is then right to about 2 in 100
ROWS = COLUMNS = 4  # as coarse as a person can act on ("the lower left is cluttered"); one row of inference each
NUM_ROWS = 1 + ROWS * COLUMNS  # of inference that an explanation costs

ScoreOf = Callable[[np.ndarray], Awaitable[float]]


@dataclass(frozen=True)
class Placing:
    """A value, and the share of the catalogue that lies below it, in [0, 1]; None where there is no catalogue to compare with."""

    value: float
    percentile: float | None


@dataclass(frozen=True)
class Explanation:
    """Statistics by the names of schema.STATS, and effect (ROWS, COLUMNS) as region_effects() gives it."""

    image_score: float
    stats: Mapping[str, Placing]
    effect: np.ndarray

    def body(self) -> dict[str, Any]:
        """The explanation as /v1/score answers it."""
        rows, columns = self.effect.shape
        stats = {name: {"value": placing.value, "percentile": placing.percentile} for name, placing in self.stats.items()}
        return {"stats": stats, "regions": {"rows": rows, "columns": columns, "effect": self.effect.tolist()}}


async def explanation(served: Served, pictures: Pictures, data: bytes) -> dict[str, Any]:
    """The explanation of an encoded photo by one release, as /v1/score answers it; the same photo has the same. Raises Refused."""
    side = served.inference.serving.image_px
    decoded = await pictures.decode(data, [side], want_stats=True)
    catalogue = await catalogue_stats(served.generation)

    async def score_of(square: np.ndarray) -> float:
        return (await served.inference.embed_square(square))[1]

    return (await explain(decoded.squares[side], decoded.stats or {}, catalogue, score_of=score_of)).body()


async def catalogue_stats(generation: Generation) -> dict[str, np.ndarray]:
    """The sorted statistics of some of the items, by the names of schema.STATS; empty where no item has any."""
    stats = [row.item.stats for row in await generation.sample(NUM_COMPARED, seed=0) if row.item.stats]
    return {name: np.sort([one[name] for one in stats]) for name in stats[0]} if stats else {}


async def explain(square: np.ndarray, stats: Mapping[str, float], catalogue: Mapping[str, np.ndarray], *, score_of: ScoreOf) -> Explanation:
    """The explanation of a uint8 (side, side, 3) square whose photo has these statistics.

    `catalogue` holds each statistic's values over the items, or their quantiles, sorted. Costs 1 + ROWS x COLUMNS calls of `score_of`,
    each a row of inference. Raises what score_of raises.
    """
    image_score, effect = await region_effects(square, score_of=score_of)
    return Explanation(image_score, placings(stats, catalogue), effect)


async def region_effects(square: np.ndarray, *, score_of: ScoreOf, rows: int = ROWS, columns: int = COLUMNS) -> tuple[float, np.ndarray]:
    """The photo's score, and effect (rows, columns): the score less that of the photo with the region in the photo's mean colour.

    Positive where the region helps, in units of the score. Occlusion sensitivity (Zeiler & Fergus 2014, "Visualizing and Understanding
    Convolutional Networks", section 4.2). Regions act together, so the effects add up neither to the score nor to anything else:
    compare them with each other within one photo.
    """
    whole, *without = await _all_scores([square, *occluded(square, rows, columns)], score_of)
    return whole, whole - np.array(without).reshape(rows, columns)


def occluded(square: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    """Copies of the picture, each with one region in the picture's mean colour, in reading order. Regions tile it, equal to 1 px."""
    mean_colour = np.rint(square.mean(axis=(0, 1))).astype(square.dtype)
    downs, acrosses = _edges(square.shape[0], rows), _edges(square.shape[1], columns)
    copies = []
    for top, bottom in itertools.pairwise(downs):
        for left, right in itertools.pairwise(acrosses):
            copy = square.copy()
            copy[top:bottom, left:right] = mean_colour
            copies.append(copy)
    return copies


def _edges(length: int, parts: int) -> list[int]:
    return [length * part // parts for part in range(parts + 1)]


async def _all_scores(squares: Sequence[np.ndarray], score_of: ScoreOf) -> list[float]:
    """Asked for together, so that they share batches; when one fails the others are withdrawn."""
    tasks = [asyncio.ensure_future(score_of(square)) for square in squares]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def placings(stats: Mapping[str, float], catalogue: Mapping[str, np.ndarray]) -> dict[str, Placing]:
    """Each statistic with its place in the catalogue; one that the catalogue does not hold has none."""
    return {name: Placing(value, share_below(catalogue.get(name, np.empty(0)), value)) for name, value in stats.items()}


def share_below(sorted_values: np.ndarray, value: float) -> float | None:
    """The share of the values, or of their quantiles, that are lower, in [0, 1]; None where there are no values."""
    if not len(sorted_values):
        return None
    return float(np.searchsorted(sorted_values, value, side="left") / len(sorted_values))
