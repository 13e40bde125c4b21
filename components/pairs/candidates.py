"""Pairs of a clicked and a skipped item, as in the Image Score paper (arXiv 2408.11349): one page, one price range, near slots."""

from enum import StrEnum

import polars as pl
from pydantic import Field

from components.contract import Config


class PairsConfig(Config):
    """Which pairs count. Ratios are dearer over cheaper; the window is in slots of the page."""

    max_price_ratio: float = Field(ge=1)
    position_window: int = Field(gt=0)
    max_per_request: int | None = Field(gt=0)
    continuation: float = Field(gt=0, le=1)


class Fate(StrEnum):
    """What became of a candidate: the first rule that it broke, or kept."""

    UNKNOWN_ITEM = "unknown_item"
    ACROSS_SIDES = "across_sides"
    PRICE = "price"
    OVER_CAP = "over_cap"
    KEPT = "kept"


SUREST_FIRST = ["request_id", "examined", "distance", "price_ratio", "clicked_position", "skipped_position", "clicked_item", "skipped_item"]
DESCENDING = [name == "examined" for name in SUREST_FIRST]
COLUMNS = [*SUREST_FIRST, "split", "position_gap", "fate"]


def candidates(impressions: pl.LazyFrame, splits: pl.LazyFrame, cfg: PairsConfig) -> pl.LazyFrame:
    """Every clicked and skipped item of one search page within the position window, with its fate.

    Columns: those of schema.PAIRS but weight (split is null where the sides differ), both positions and the distance between them, fate,
    and examined in (0, 1]. In no order.
    """
    side = splits.select("item_id", "split")
    shown = impressions.filter(pl.col("surface") == "search").join(side, on="item_id", how="left")
    clicks = _as("clicked", shown.filter("clicked"))
    last = clicks.group_by("request_id").agg(last_click=pl.col("clicked_position").max())
    near = (
        _as("skipped", shown.filter(~pl.col("clicked")))
        .join(clicks, on="request_id")
        .with_columns(position_gap=pl.col("clicked_position") - pl.col("skipped_position"))
        .filter(pl.col("position_gap").abs() <= cfg.position_window, pl.col("clicked_item") != pl.col("skipped_item"))
        .join(last, on="request_id")
    )
    return _judged(near, cfg).select(COLUMNS)


def _as(role: str, shown: pl.LazyFrame) -> pl.LazyFrame:
    names = {"item_id": "item", "position": "position", "price": "price", "split": "split"}
    return shown.select("request_id", *(pl.col(old).alias(f"{role}_{new}") for old, new in names.items()))


def _judged(near: pl.LazyFrame, cfg: PairsConfig) -> pl.LazyFrame:
    clicked, skipped = pl.col("clicked_price"), pl.col("skipped_price")
    ratio = pl.max_horizontal(clicked, skipped) / pl.min_horizontal(clicked, skipped)
    same_side = pl.col("clicked_split") == pl.col("skipped_split")
    fate = (
        pl.when(same_side.is_null())
        .then(pl.lit(Fate.UNKNOWN_ITEM.value))
        .when(~same_side)
        .then(pl.lit(Fate.ACROSS_SIDES.value))
        .when(pl.col("price_ratio") > cfg.max_price_ratio)
        .then(pl.lit(Fate.PRICE.value))
        .otherwise(pl.lit(Fate.KEPT.value))
    )
    return near.with_columns(
        price_ratio=pl.when(clicked == skipped).then(1.0).otherwise(ratio),
        split=pl.when(same_side).then("clicked_split"),
        distance=pl.col("position_gap").abs(),
        examined=examined(pl.col("skipped_position"), pl.col("last_click"), cfg.continuation),
    ).with_columns(fate=fate)


def examined(skipped_position: pl.Expr, last_click: pl.Expr, continuation: float) -> pl.Expr:
    """The probability that the shopper looked at a skipped slot, in (0, 1].

    The cascade with several clicks (dependent click model, Guo et al. 2009): slots are looked at in order, so all above the last click
    were; below it the shopper goes on to each next slot with probability `continuation`.
    """
    return pl.lit(continuation, pl.Float64) ** (skipped_position - last_click).clip(lower_bound=0)


def capped(found: pl.DataFrame, max_per_request: int | None) -> pl.DataFrame:
    """The candidates in order of page and sureness; of each page's kept pairs those beyond the cap, the least sure, are over_cap."""
    ordered = found.sort(SUREST_FIRST, descending=DESCENDING)
    kept = pl.col("fate") == Fate.KEPT.value
    over = kept & (kept.cast(pl.Int64).cum_sum().over("request_id") > (max_per_request or len(found)))
    return ordered.with_columns(fate=pl.when(over).then(pl.lit(Fate.OVER_CAP.value)).otherwise("fate"))


def weighted(kept: pl.DataFrame) -> pl.DataFrame:
    """The kept pairs with their weight, mean 1: how surely the skip was a choice, shared among the pairs of the page.

    A skip that was never looked at says nothing, so it counts by the chance that it was; and a page is one decision of one shopper,
    so one with many pairs does not outvote the others.
    """
    raw = pl.col("examined") / pl.len().over("request_id")
    return kept.with_columns(weight=raw).with_columns(pl.col("weight") / pl.col("weight").mean())
