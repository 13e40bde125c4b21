"""What the image score is held to, read from the tables."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.compute as pc

from components.evaluate.config import EvaluateConfig
from components.evaluate.held_out import HeldOut
from components.evaluate.orders import Pairs, agreed_pairs, clicked_pairs, judge_accuracy, judged_pairs, quality_pairs
from components.evaluate.pictures import STATS, read_stats
from components.evaluate.relevance import codes_of
from components.evaluate.score_table import Ordered, ordered
from components.evaluate.table import MODEL
from components.shards import batched_shards, read_shards


def read_quality(truth: Path, held: HeldOut) -> np.ndarray:
    """float64 (N,): true photo quality in [0, 1] of the held-out items, NaN where it is not known."""
    table = read_shards(truth, ["item_id", "quality"])
    quality = dict(zip(table["item_id"].to_pylist(), table["quality"].to_pylist(), strict=True))
    return np.array([quality.get(item, np.nan) for item in held.item_id], np.float64)


def pixel_scores(images: Path, held: HeldOut) -> dict[str, np.ndarray]:
    """Simple statistics of the held-out photos, each (N,), as rivals of the image score; NaN where a photo has none."""
    stats = read_stats(images, set(held.image_id))
    return {name: np.array([stats.get(image, {}).get(name, np.nan) for image in held.image_id], np.float64) for name in STATS}


def clicks_are_simulated(impressions: Path) -> bool:
    """Whether any impression had no person behind it."""
    return any(pc.any(shard["simulated"]).as_py() for _, shard in batched_shards(impressions))


def score_sides(
    held: HeldOut, judged: pl.DataFrame, quality_N: np.ndarray, rivals: Mapping[str, np.ndarray], simulated: bool, cfg: EvaluateConfig
) -> list[Ordered]:
    """What the image score is held to: true quality where it is known, the judge, clicks, and the judge's own accuracy.

    `rivals` are other scores (N,) by row name, NaN where they have none.
    """
    owner_N, position = codes_of(held.owner), held.positions()
    chance_N = np.random.default_rng([cfg.seed, 3]).random(len(held.item_id))
    scores = {MODEL: held.score_N, **rivals, "random": chance_N}
    pairs: list[Pairs] = [
        quality_pairs(quality_N, owner_N, min_gap=cfg.min_quality_gap, max_pairs=cfg.max_quality_pairs, seed=cfg.seed),
        agreed_pairs(judged, position, owner_N),
        clicked_pairs(judged, position, owner_N, simulated),
    ]
    tested = judged_pairs(judged, quality_N, position, owner_N, cfg.min_quality_gap)
    judge = {"judge": judge_accuracy(judged, tested, held.item_id)}
    return [*(ordered(p, scores) for p in pairs), Ordered(tested, {**ordered(tested, {MODEL: held.score_N}).value_P, **judge})]
