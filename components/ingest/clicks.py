"""Clicks as they came later than their pages, joined to them.

Frames have the columns of schema.EVENTS["clicks"], `_day` (the file's) and `_text_fault` (which text is not UTF-8, null for none).
"""

import polars as pl

from components.ingest.pages import Rule, first_of, one_of, row_rules
from components.ingest.window import Window

CREDITED = ("click", "purchase")
NOTED = ("like",)  # logged for others to read: no label of ours, so it is left out
ACTIONS = (*CREDITED, *NOTED)
SLOT = ["request_id", "item_id"]
KEPT, QUARANTINED, LEFT_OUT, HELD_BACK, PAST_RETENTION = "kept", "quarantined", "left_out", "held_back", "past_retention"
BEST_FIRST = (KEPT, QUARANTINED, LEFT_OUT, HELD_BACK, PAST_RETENTION)


def distinct(clicks: pl.DataFrame) -> pl.DataFrame:
    """Each row once, with `_copies`."""
    return clicks.group_by([name for name in clicks.columns if name != "_day"]).agg(pl.col("_day").max(), _copies=pl.len())


def fates(shown: pl.DataFrame, late: pl.DataFrame, older: pl.DataFrame) -> pl.DataFrame:
    """What became of every slot that was ever logged, as `fate`: one row a request and item, the best fate where it has two."""
    fate = pl.when(pl.col("reason").is_not_null()).then(pl.lit(QUARANTINED)).when("left_out").then(pl.lit(LEFT_OUT)).otherwise(pl.lit(KEPT))
    every = [
        shown.select(*SLOT, fate=fate),
        late.select(*SLOT, fate=pl.lit(HELD_BACK)),
        older.select(*SLOT, fate=pl.lit(PAST_RETENTION)),
    ]
    ordered = pl.concat(every).with_columns(pl.col("fate").cast(pl.Enum(BEST_FIRST)))
    return ordered.group_by(SLOT).agg(pl.col("fate").min())


def judged(clicks: pl.DataFrame, slots: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The distinct clicks with the `fate` of their slot, and with `reason` and `detail`, null where nothing is wrong.

    A click of before the window whose page is in no file is past retention, like its page. A like is left out, with or without a page.
    """
    is_noted = pl.col("action").is_in(NOTED).fill_null(False)
    is_past = pl.col("fate").is_null() & (pl.col("ts") < window.start)
    fate = pl.when(is_noted).then(pl.lit(LEFT_OUT)).when(is_past).then(pl.lit(PAST_RETENTION)).otherwise(pl.col("fate"))
    rules: list[Rule] = [
        *row_rules(window, SLOT),
        one_of("action_unknown", "action", ACTIONS),
        ("click_without_impression", pl.col("fate").is_null(), pl.lit("no page of this request_id showed this item_id")),
    ]
    found = clicks.join(slots.with_columns(pl.col("fate").cast(pl.String)), on=SLOT, how="left")
    return found.with_columns(fate=fate).with_columns(*first_of(rules))


def effective(clicks: pl.DataFrame) -> pl.DataFrame:
    """One row an impression and action, of the sound clicks on impressions that were kept."""
    return clicks.filter(pl.col("reason").is_null(), pl.col("fate") == KEPT).select(*SLOT, "action").unique()


def credited(shown: pl.DataFrame, done: pl.DataFrame) -> pl.DataFrame:
    """The impressions with what was done on them. Who bought an item had clicked it, whether or not the click was logged."""
    acts = done.group_by(SLOT).agg(_bought=(pl.col("action") == "purchase").any(), _clicked=pl.lit(True))
    joined = shown.join(acts, on=SLOT, how="left")
    purchased = pl.col("purchased") | pl.col("_bought").fill_null(False)
    clicked = pl.col("clicked") | pl.col("_clicked").fill_null(False) | purchased
    return joined.with_columns(clicked=clicked, purchased=purchased).drop("_clicked", "_bought")
