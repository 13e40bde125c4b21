"""Does the image score put the better photo first? Pairs from three sides, and the ordered pair accuracy (OPA) on them.

N = held-out items, P = pairs; numbers are positions among the held-out items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from components.votes import agreed_votes


@dataclass(frozen=True)
class Pairs:
    """Pairs of items of which one is known to be better. cluster_P is the owner of the pair's first item, which is either of the two."""

    against: str
    better_P: np.ndarray
    worse_P: np.ndarray
    cluster_P: np.ndarray
    simulated: bool = False

    def within(self, mask_N: np.ndarray) -> np.ndarray:
        """bool (P,): pairs with both items in the mask."""
        return np.asarray(mask_N[self.better_P] & mask_N[self.worse_P])


def quality_pairs(quality_N: np.ndarray, owner_N: np.ndarray, *, min_gap: float, max_pairs: int, seed: int) -> Pairs:
    """Pairs whose true quality differs by more than `min_gap`: all of them, or `max_pairs` drawn by chance. NaN is no quality."""
    known_K = np.flatnonzero(~np.isnan(quality_N))
    first_P, second_P = _some_pairs(known_K, max_pairs, np.random.default_rng([seed, 2]))
    gap_P = quality_N[first_P] - quality_N[second_P]
    kept_P = np.flatnonzero(np.abs(gap_P) > min_gap)[:max_pairs]
    first_P, second_P, ahead_P = first_P[kept_P], second_P[kept_P], gap_P[kept_P] > 0
    return Pairs("truth", np.where(ahead_P, first_P, second_P), np.where(ahead_P, second_P, first_P), owner_N[first_P])


def _some_pairs(known_K: np.ndarray, max_pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    num = len(known_K)
    if num * (num - 1) // 2 <= 4 * max_pairs:
        first_P, second_P = np.triu_indices(num, 1)
        order_P = rng.permutation(len(first_P))
        return known_K[first_P[order_P]], known_K[second_P[order_P]]
    drawn_P2 = np.sort(rng.integers(0, num, (4 * max_pairs, 2)), axis=1)
    unique_P2 = np.unique(drawn_P2[drawn_P2[:, 0] != drawn_P2[:, 1]], axis=0)
    chosen_P2 = known_K[rng.permutation(unique_P2)]
    return chosen_P2[:, 0], chosen_P2[:, 1]


def held_out_labels(labels: pl.DataFrame, position: Mapping[str, int]) -> pl.DataFrame:
    """Labels whose two items are both held out, with `low` and `high`, the pair whatever its order, and `winner`, null for none."""
    known = pl.Series(sorted(position), dtype=pl.String).implode()
    winner = pl.when(pl.col("choice") == "first").then("first_item").when(pl.col("choice") == "second").then("second_item")
    rows = labels.filter(pl.col("first_item").is_in(known) & pl.col("second_item").is_in(known))
    low, high = pl.min_horizontal("first_item", "second_item"), pl.max_horizontal("first_item", "second_item")
    return rows.with_columns(low.alias("low"), high.alias("high"), winner.alias("winner")).sort("low", "high", "first_item")


def agreed_pairs(rows: pl.DataFrame, position: Mapping[str, int], owner_N: np.ndarray) -> Pairs:
    """Pairs on which the judge named the same winner in both orders shown."""
    votes = agreed_votes(rows.to_arrow())
    low = [min(vote.better, vote.worse) for vote in votes]
    better_P, worse_P, low_P = (_places(items, position) for items in ([v.better for v in votes], [v.worse for v in votes], low))
    return Pairs("judge", better_P, worse_P, owner_N[low_P])


def clicked_pairs(rows: pl.DataFrame, position: Mapping[str, int], owner_N: np.ndarray, simulated: bool) -> Pairs:
    """Pairs of a clicked and a skipped item of one page, as far as they were labelled. A click says more than quality."""
    found = rows.select("low", "high", "clicked_item").unique(maintain_order=True)
    return _pairs("clicks", found, "clicked_item", position, owner_N, simulated)


def _pairs(
    against: str, found: pl.DataFrame, better: str, position: Mapping[str, int], owner_N: np.ndarray, simulated: bool = False
) -> Pairs:
    worse = pl.when(pl.col(better) == pl.col("low")).then("high").otherwise("low")
    columns = found.select(pl.col(better).alias("better"), worse.alias("worse"), "low")
    better_P, worse_P, first_P = (_places(columns[name].to_list(), position) for name in ("better", "worse", "low"))
    return Pairs(against, better_P, worse_P, owner_N[first_P], simulated)


def _places(items: Sequence[str], position: Mapping[str, int]) -> np.ndarray:
    return np.array([position[item] for item in items], np.int64)


def judged_pairs(rows: pl.DataFrame, quality_N: np.ndarray, position: Mapping[str, int], owner_N: np.ndarray, min_gap: float) -> Pairs:
    """Labelled pairs whose true quality differs by more than `min_gap`: where the judge itself can be put to the test."""
    found = rows.select("low", "high").unique(maintain_order=True)
    low_P, high_P = (_places(found[name].to_list(), position) for name in ("low", "high"))
    gap_P = quality_N[low_P] - quality_N[high_P]
    kept_P = np.abs(gap_P) > min_gap
    low_P, high_P, ahead_P = low_P[kept_P], high_P[kept_P], gap_P[kept_P] > 0
    return Pairs("judge_vs_truth", np.where(ahead_P, low_P, high_P), np.where(ahead_P, high_P, low_P), owner_N[low_P])


def judge_accuracy(rows: pl.DataFrame, pairs: Pairs, item_id: Sequence[str]) -> np.ndarray:
    """float64 (P,): the share of the judge's answers that name the better item, a tie counting half; NaN where it could not judge."""
    won: dict[tuple[str, str], list[float]] = {}
    for first, second, choice, winner in rows.select("first_item", "second_item", "choice", "winner").rows():
        for better, worse in ((first, second), (second, first)):
            if choice != "cannot_judge":
                won.setdefault((better, worse), []).append(0.5 if winner is None else float(winner == better))
    names = zip((item_id[p] for p in pairs.better_P), (item_id[p] for p in pairs.worse_P), strict=True)
    return np.array([np.mean(won.get(pair, [np.nan])) for pair in names], np.float64)


def label_health(rows: pl.DataFrame) -> dict[str, float]:
    """How the judge behaved on held-out pairs: counts, and shares of answers in [0, 1]."""
    pairs = rows.group_by("low", "high").agg(
        (pl.col("first_item").n_unique() == 2).alias("both"),
        ((pl.col("winner").n_unique() == 1) & (pl.col("winner").null_count() == 0)).alias("agreed"),
    )
    both = pairs.filter("both")
    shares = {f"{choice}_share": int((rows["choice"] == choice).sum()) / max(len(rows), 1) for choice in ("cannot_judge", "tie")}
    agreement = {"order_agreement_share": int(both["agreed"].sum()) / len(both)} if len(both) else {}
    return {"num_labels": len(rows), "num_pairs": len(pairs), **shares, **agreement}
