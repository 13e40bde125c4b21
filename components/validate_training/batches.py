"""Splits, pairs and labels as gates look at them: one row a row of its table, with what the gates ask of it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import polars as pl

from components.expectations.tables import ROW, SHARD, located_rows

PLACE = [SHARD, ROW]
POLARITIES = (-1, 0, 1)


@dataclass(frozen=True)
class Sides:
    """Which listings there are, and the side of each item that has exactly one."""

    item_ids: pl.Series
    of: pl.DataFrame

    @classmethod
    def read(cls, listings: Path, splits: Path) -> "Sides":
        """Sides from the tables; the first row of an item that has several."""
        item_ids = located_rows(listings, ["item_id"])["item_id"]
        return cls(item_ids, located_rows(splits, ["item_id", "split"]).unique("item_id", keep="first").select("item_id", side="split"))

    def beside(self, rows: pl.DataFrame, first: str, second: str) -> pl.DataFrame:
        """The rows with item_known (both items are listings) and on_side (both lie on the side that `split` names)."""
        for number, column in enumerate((first, second)):
            rows = rows.join(self.of.rename({"item_id": column, "side": f"side_{number}"}), on=column, how="left", maintain_order="left")
        here = (pl.col("side_0") == pl.col("split")) & (pl.col("side_1") == pl.col("split"))
        known = pl.col(first).is_in(self.item_ids.implode()) & pl.col(second).is_in(self.item_ids.implode())
        return rows.with_columns(item_known=known, on_side=here.fill_null(False)).drop("side_0", "side_1")


def splits_rows(splits: Path, sides: Sides) -> pd.DataFrame:
    """One row a row of splits. group_sides counts the sides that the row's group stands on; in_train, in_val and in_test are 0 or 1."""
    rows = located_rows(splits, ["item_id", "split", "group"])
    return rows.with_columns(
        listed=pl.col("item_id").is_in(sides.item_ids.implode()),
        group_sides=pl.col("split").n_unique().over("group"),
        **{f"in_{side}": (pl.col("split") == side).cast(pl.Float64) for side in ("train", "val", "test")},
    ).to_pandas()


def listings_rows(listings: Path, splits: Path) -> pd.DataFrame:
    """One row a listing: num_rows counts its rows in splits."""
    counts = located_rows(splits, ["item_id"]).group_by("item_id").agg(num_rows=pl.len())
    rows = located_rows(listings, ["item_id"]).join(counts, on="item_id", how="left", maintain_order="left")
    return rows.with_columns(pl.col("num_rows").fill_null(0)).to_pandas()


def pairs_rows(pairs: Path, sides: Sides) -> pd.DataFrame:
    """One row a pair. repeated marks the second and later rows of one pair of items on one page."""
    columns = ["request_id", "split", "clicked_item", "skipped_item", "price_ratio", "position_gap", "weight"]
    rows = sides.beside(located_rows(pairs, columns), "clicked_item", "skipped_item")
    return rows.select(
        "request_id",
        "split",
        "item_known",
        "on_side",
        *_numbers("price_ratio", "weight"),
        *PLACE,
        slots_apart=pl.col("position_gap").abs(),
        distinct=pl.col("clicked_item") != pl.col("skipped_item"),
        repeated=~pl.struct("request_id", "clicked_item", "skipped_item").is_first_distinct(),
    ).to_pandas()


def labels_rows(labels: Path, sides: Sides) -> pd.DataFrame:
    """One row a label.

    num_orders counts the different orders in which its pair was judged, num_rows how often this order was; cannot_judge and tie are
    0 or 1; chose_first is 0 or 1 where one was chosen; agrees is 0 or 1 where both orders were judged: the same item, or a tie twice.
    """
    columns = [
        "first_item",
        "second_item",
        "clicked_item",
        "split",
        "choice",
        "first_score",
        "second_score",
        "judge",
        "rubric",
        "cache_key",
    ]
    first, second, choice = pl.col("first_item"), pl.col("second_item"), pl.col("choice")
    winner = (
        pl.when(choice == "first").then(first).when(choice == "second").then(second).when(choice == "tie").then(pl.lit("")).otherwise(None)
    )
    rows = sides.beside(located_rows(labels, columns), "first_item", "second_item").with_columns(
        pair=pl.concat_str(pl.min_horizontal(first, second), pl.max_horizontal(first, second), separator=" "), winner=winner
    )
    both = (pl.col("winner").count().over("pair") == 2) & (pl.len().over("pair") == 2)
    return rows.select(
        "cache_key",
        "pair",
        "split",
        "choice",
        *_numbers("first_score", "second_score"),
        "item_known",
        "on_side",
        *PLACE,
        judge_length=pl.col("judge").str.strip_chars().str.len_chars(),
        rubric_length=pl.col("rubric").str.strip_chars().str.len_chars(),
        distinct=first != second,
        clicked_shown=(pl.col("clicked_item") == first) | (pl.col("clicked_item") == second),
        num_orders=first.n_unique().over("pair"),
        num_rows=pl.len().over("first_item", "second_item"),
        cannot_judge=(choice == "cannot_judge").cast(pl.Float64),
        tie=(choice == "tie").cast(pl.Float64),
        chose_first=pl.when(choice.is_in(["first", "second"])).then((choice == "first").cast(pl.Float64)),
        agrees=pl.when(both).then((pl.col("winner").n_unique().over("pair") == 1).cast(pl.Float64)),
    ).to_pandas()


def _numbers(*columns: str) -> list[pl.Expr]:
    """The columns, with infinity for what is not a number: Great Expectations would pass over it."""
    return [pl.col(column).fill_nan(float("inf")) for column in columns]


def adjectives_rows(labels: Path) -> pd.DataFrame:
    """One row an adjective of a label: which photo it is of, its polarity and its length."""
    rows = located_rows(labels, ["cache_key", "adjectives"]).explode("adjectives").drop_nulls("adjectives")
    word = pl.col("adjectives").struct
    return rows.select(
        "cache_key", *PLACE, item=word.field("item"), polarity=word.field("polarity"), word_length=word.field("adjective").str.len_chars()
    ).to_pandas()
