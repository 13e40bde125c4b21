"""Which pairs are judged: each pair of items once, every split served, and the same choice next week for the same pairs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from components.errors import BadData
from components.label.judge import Question

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Showing:
    """A pair of items in one of its two orders, and the question that asks about their photos."""

    first_item: str
    second_item: str
    clicked_item: str
    split: str
    question: Question


def distinct_pairs(pairs: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """One row a pair of items, however many pages showed it: low_item < high_item, split, query, clicked_item.

    The query is that of the earliest page, so a new page does not change a question already paid for. The clicked item is the one
    clicked more often, the earlier click where they are level. `requests` has request_id, ts and query. Raises BadData.
    """
    seen = pairs.join(requests, on="request_id", how="inner")
    if seen.height != pairs.height:
        raise BadData(f"{pairs.height - seen.height} of {pairs.height} pairs come from pages that impressions does not hold; rerun pairs")
    low_clicked = pl.col("clicked_item") < pl.col("skipped_item")
    return (
        seen.with_columns(
            low_item=pl.when(low_clicked).then("clicked_item").otherwise("skipped_item"),
            high_item=pl.when(low_clicked).then("skipped_item").otherwise("clicked_item"),
            lead=pl.when(low_clicked).then(1).otherwise(-1),
        )
        .sort("low_item", "high_item", "ts", "request_id")
        .group_by("low_item", "high_item", maintain_order=True)
        .agg(pl.first("split"), pl.first("query"), pl.sum("lead"), first_lead=pl.first("lead"))
        .with_columns(_clicked=pl.col("lead") * 2 + pl.col("first_lead"))
        .select(
            "low_item",
            "high_item",
            "split",
            "query",
            clicked_item=pl.when(pl.col("_clicked") > 0).then("low_item").otherwise("high_item"),
        )
    )


def quotas(available: Mapping[str, int], shares: Mapping[str, float], max_pairs: int) -> dict[str, int]:
    """How many pairs each split gives: its share of max_pairs but at least one; what a split cannot fill goes to the next in order."""
    taken = dict.fromkeys(SPLITS, 0)
    for split in SPLITS:
        wanted = max(1, int(shares[split] * max_pairs + 1e-9))
        taken[split] = min(available.get(split, 0), wanted, max_pairs - sum(taken.values()))
    for split in SPLITS:
        taken[split] += min(available.get(split, 0) - taken[split], max_pairs - sum(taken.values()))
    return taken


def sample(pairs: pl.DataFrame, shares: Mapping[str, float], max_pairs: int) -> pl.DataFrame:
    """At most max_pairs of the distinct pairs: in each split those with the smallest hash of their two items.

    A pair's place in the queue depends on nothing but its items, so new pairs displace few old ones. Sorted by low_item, high_item.
    """
    available = dict(pairs.group_by("split").len().iter_rows())
    if unknown := sorted(set(available) - set(SPLITS)):
        raise BadData(f"pairs has splits {unknown}; known: {', '.join(SPLITS)}")
    places = [_place(low, high) for low, high in pairs.select("low_item", "high_item").iter_rows()]
    queue = pairs.with_columns(_place=pl.Series(places, dtype=pl.String)).sort("_place")
    parts = [queue.filter(pl.col("split") == split).head(count) for split, count in quotas(available, shares, max_pairs).items()]
    return pl.concat(parts).drop("_place").sort("low_item", "high_item")


def _place(low: str, high: str) -> str:
    return hashlib.sha256(f"{low}\0{high}".encode()).hexdigest()


def with_pictures(pairs: pl.DataFrame, image_ids: pl.DataFrame) -> pl.DataFrame:
    """The pairs with low_image and high_image added, without those whose items show the very same picture. Raises BadData.

    `image_ids` has item_id and image_id.
    """
    pictured = pairs
    for side in ("low", "high"):
        images = image_ids.select(pl.col("item_id").alias(f"{side}_item"), pl.col("image_id").alias(f"{side}_image"))
        pictured = pictured.join(images, on=f"{side}_item", how="inner")
    if pictured.height != pairs.height:
        raise BadData(f"{pairs.height - pictured.height} of {pairs.height} pairs show items that listings does not hold; rerun pairs")
    return pictured.filter(pl.col("low_image") != pl.col("high_image"))


def both_orders(pairs: pl.DataFrame, *, with_query: bool) -> list[Showing]:
    """Two showings a pair, the second in the opposite order."""
    return [showing for row in pairs.iter_rows(named=True) for showing in _showings(row, with_query)]


def _showings(row: Mapping[str, str], with_query: bool) -> list[Showing]:
    query = row["query"] if with_query else None
    return [
        Showing(
            row[f"{first}_item"],
            row[f"{second}_item"],
            row["clicked_item"],
            row["split"],
            Question(query, row[f"{first}_image"], row[f"{second}_image"]),
        )
        for first, second in (("low", "high"), ("high", "low"))
    ]
