"""Impressions as they were logged, judged page by page.

Frames have the columns of schema.EVENTS["impressions"], `_day` (the file's) and `_text_fault` (which text is not UTF-8, null for none).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from components.ingest.shoppers import PLATFORMS
from components.ingest.window import CLOCK_SLACK, Window

SURFACES = ("search", "similar")
OUTCOME = ("clicked", "purchased")
PAGE = ("user_id", "surface", "platform", "query", "source_item_id")
MAX_POSITION = 2**31 - 1

Rule = tuple[str, pl.Expr, pl.Expr]
"""A reason, when it holds, and what was found."""


@dataclass(frozen=True)
class Items:
    """Item ids: those of the listings that came out, and all that were ever upserted."""

    listed: pl.Series
    known: pl.Series


def distinct(seen: pl.DataFrame) -> pl.DataFrame:
    """Each row once, with `_copies`. A row that was logged again with its outcome is the same row, clicked if any copy says so."""
    same = [name for name in seen.columns if name not in (*OUTCOME, "_day")]
    outcome = (pl.col(name).fill_null(False).any() for name in OUTCOME)
    return seen.group_by(same).agg(*outcome, pl.col("_day").max(), _copies=pl.len())


def is_late(window: Window) -> pl.Expr:
    """Rows for a later snapshot: after as_of, and not after the day on which they were written."""
    return ((pl.col("ts") > window.as_of) & (pl.col("ts") <= _latest())).fill_null(False)


def _latest() -> pl.Expr:
    return (pl.col("_day").cast(pl.Datetime("us", "UTC")) + pl.duration(days=1)) + CLOCK_SLACK


def judged(seen: pl.DataFrame, items: Items, window: Window, max_price: float) -> pl.DataFrame:
    """The distinct rows with `reason` and `detail`, null where nothing is wrong, and `left_out` where an item is in no table."""
    rules = [*row_rules(window), *_impression_rules(max_price), *_page_rules(), *_item_rules(items)]
    at_fault = seen.join(_mixed(seen), on="request_id", how="left").with_columns(*first_of(rules))
    absent = ~pl.col("item_id").is_in(items.listed) | ~pl.col("source_item_id").is_in(items.listed).fill_null(True)
    return at_fault.with_columns(left_out=pl.col("reason").is_null() & absent).drop("_mixed")


def first_of(rules: Sequence[Rule]) -> tuple[pl.Expr, pl.Expr]:
    """`reason` and `detail` of the first rule that holds."""
    reasons = [pl.when(when).then(pl.lit(reason)) for reason, when, _ in rules]
    details = [pl.when(when).then(detail) for _, when, detail in rules]
    return pl.coalesce(reasons).alias("reason"), pl.coalesce(details).alias("detail")


def row_rules(window: Window, ids: Sequence[str] = ("request_id", "item_id", "user_id", "release_id")) -> list[Rule]:
    """What holds for impressions and clicks alike."""
    blank = {name: pl.col(name).fill_null("").str.strip_chars() == "" for name in ids}
    missing = pl.concat_str([pl.when(is_blank).then(pl.lit(f" {name}")).otherwise(pl.lit("")) for name, is_blank in blank.items()])
    ts = pl.col("ts").cast(pl.String)
    return [
        ("text_invalid", pl.col("_text_fault").is_not_null(), pl.col("_text_fault")),
        ("id_missing", pl.any_horizontal(blank.values()), pl.format("no{}", missing)),
        ("time_missing", pl.col("ts").is_null(), pl.lit("no ts")),
        ("time_before_shop", pl.col("ts") < window.opened, pl.format("{} lies before the shop opened", ts)),
        ("time_in_future", pl.col("ts") > _latest(), pl.format("{} lies after {}, the day on which it was written", ts, "_day")),
    ]


def one_of(reason: str, name: str, values: Sequence[str]) -> Rule:
    """The column holds one of the values."""
    found = pl.col(name).fill_null("")
    return reason, ~found.is_in(values), pl.format("{} is none of " + ", ".join(values), found.str.slice(0, 50))


def _impression_rules(max_price: float) -> list[Rule]:
    position, price = pl.col("position"), pl.col("price")
    misplaced = position.is_null() | (position > MAX_POSITION)
    asked = pl.when(pl.col("surface") == "search").then("query").otherwise("source_item_id").fill_null("").str.strip_chars()
    return [
        one_of("surface_unknown", "surface", SURFACES),
        one_of("platform_unknown", "platform", PLATFORMS),
        ("question_missing", asked == "", pl.lit("a search without its query, or similar items of no item")),
        ("position_negative", position < 0, pl.format("position {}", position)),
        ("position_invalid", misplaced, pl.format("position {}", position.cast(pl.String).fill_null("null"))),
        ("price_missing", price.is_null(), pl.lit("no price")),
        ("price_invalid", price.is_nan(), pl.lit("the price is no number")),
        ("price_negative", price < 0, pl.format("{} is below 0", price)),
        ("price_zero", price == 0, pl.lit("nothing is sold for nothing")),
        ("price_too_high", price > max_price, pl.format("{} is above ingest.max_price", price)),
    ]


def _page_rules() -> list[Rule]:
    def repeated(name: str) -> pl.Expr:
        return pl.struct("request_id", name).is_duplicated()

    return [
        ("request_mixed", pl.col("_mixed").fill_null(False), pl.lit("one page has two of: " + ", ".join(PAGE))),
        ("position_repeated", repeated("position"), pl.format("another item of the page has position {} too", "position")),
        ("item_repeated", repeated("item_id"), pl.format("the page shows {} at another position too", "item_id")),
    ]


def _mixed(seen: pl.DataFrame) -> pl.DataFrame:
    """The pages that have two of what a page has one of."""
    pages = seen.filter(pl.col("request_id").is_not_null()).select("request_id", *PAGE).unique()
    return pages.group_by("request_id").agg(_mixed=pl.len() > 1).filter("_mixed")


def _item_rules(items: Items) -> list[Rule]:
    def unknown(name: str) -> Rule:
        return "item_unknown", ~pl.col(name).is_in(items.known).fill_null(True), pl.format("no listing was ever {}", name)

    return [unknown("item_id"), unknown("source_item_id")]
