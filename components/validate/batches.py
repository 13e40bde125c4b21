"""The data that gates look at, as pandas frames with one row a listing, picture or impression; no picture's bytes are read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.expectations.suites import KEPT_ROWS
from components.expectations.tables import SHARD, located
from components.shards import shard_paths

REFUSED_COLUMNS = ["key", "reason", "detail", "row"]
LISTING_COLUMNS = ["item_id", "title", "title_language", "category", "price", "currency", "status", "created_at", "image_id", "source"]
IMPRESSION_COLUMNS = ["request_id", "surface", "platform", "item_id", "position", "price", "clicked"]


@dataclass(frozen=True)
class Shop:
    """The three batches of rows. `freshness_unchecked` says why no listing's age is known, where none is."""

    listings: pd.DataFrame
    images: pd.DataFrame
    impressions: pd.DataFrame
    freshness_unchecked: str


def shop(listings: Path, images: Path, impressions: Path, near_blank_contrast: float) -> Shop:
    """Every row of the three tables, in the order of their ids, with what gates ask of it."""
    pictures = pictures_of(images, near_blank_contrast)
    clock = clock_of(impressions)
    items = listings_of(listings, pictures, clock)
    seen = impressions_of(impressions, pa.array(items["item_id"], pa.string()))
    unchecked = "" if items["age_days"].notna().any() else "no impression runs by the clock of the listings"
    return Shop(items, pictures, seen, unchecked)


def pictures_of(folder: Path, near_blank_contrast: float) -> pd.DataFrame:
    """One row a picture and shard: ids, size, hash, statistics, and near_blank where contrast lies below the limit."""
    parts = []
    for shard, path in enumerate(shard_paths(folder)):
        table = pq.read_table(path, columns=["image_id", "width", "height", "phash", "stats"]).flatten()
        frame = table.rename_columns([name.removeprefix("stats.") for name in table.column_names]).to_pandas()
        parts.append(located(frame, shard).assign(near_blank=frame["contrast"] < near_blank_contrast))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Clock:
    """The newest impression's time, and whether its impressions, hence their times, are made up. None where there are none."""

    newest: np.datetime64 | None
    simulated: bool


def clock_of(impressions: Path) -> Clock:
    """The clock of the impressions of people where there are any, else of the simulated ones."""
    newest: dict[bool, np.datetime64] = {}
    for path in shard_paths(impressions):
        table = pq.read_table(path, columns=["ts", "simulated"])
        for simulated in (True, False):
            times = table.filter(pc.equal(table["simulated"], simulated))["ts"].to_numpy()
            if len(times):
                newest[simulated] = max(times.max(), newest.get(simulated, times.max()))
    simulated = False not in newest
    return Clock(newest.get(simulated), simulated)


def listings_of(folder: Path, pictures: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    """One row a listing, by item_id.

    has_picture: its shard of images holds its picture. looks_repeated: 1 where that picture has the hash of an earlier listing's,
    NaN without a picture. age_days: from created_at to the newest impression, NaN where the two do not run by one clock.
    """
    parts = []
    hashes = pictures.assign(phash=pictures["phash"].astype("UInt64")).drop_duplicates([SHARD, "image_id"])
    for shard, path in enumerate(shard_paths(folder)):
        table = pq.read_table(path, columns=[*LISTING_COLUMNS, "simulated"])
        own = hashes.loc[hashes[SHARD] == shard, ["image_id", "phash"]]
        frame = located(_listing_rows(table, clock), shard).merge(own, on="image_id", how="left", validate="many_to_one")
        parts.append(frame.assign(has_picture=frame["phash"].notna()))
    frame = pd.concat(parts, ignore_index=True).sort_values("item_id", ignore_index=True)
    repeated = frame["phash"].duplicated().astype("float64")
    return frame.assign(looks_repeated=repeated.where(frame["has_picture"])).drop(columns="phash")


def _listing_rows(table: pa.Table, clock: Clock) -> pd.DataFrame:
    frame = table.select(["item_id", "price", "currency", "status", "title_language", "image_id"]).to_pandas()
    return frame.assign(
        title_length=pc.utf8_length(table["title"]).to_numpy(),
        category_levels=pc.list_value_length(table["category"]).to_numpy(),
        age_days=_age_days(table, clock),
        price=frame["price"].fillna(np.inf),  # not a number is no price, though Great Expectations would pass over it
    )


def _age_days(table: pa.Table, clock: Clock) -> np.ndarray:
    if clock.newest is None:
        return np.full(table.num_rows, np.nan)
    made_up = ["created_at" in (columns or ()) for columns in table["simulated"].to_pylist()]
    drawn = pc.equal(table["source"], "simulate").to_numpy()
    age = (clock.newest - table["created_at"].to_numpy()) / np.timedelta64(1, "D")
    return np.where((np.array(made_up, bool) | drawn) == clock.simulated, age, np.nan)


def impressions_of(folder: Path, item_ids: pa.Array) -> pd.DataFrame:
    """One row an impression. item_known: the item, and the source item where there is one, are listings;
    asked: the page has the query or the source item that its surface wants."""
    parts = []
    for shard, path in enumerate(shard_paths(folder)):
        table = pq.read_table(path, columns=[*IMPRESSION_COLUMNS, "query", "source_item_id"])
        parts.append(located(_impression_rows(table, item_ids), shard))
    return pd.concat(parts, ignore_index=True)


def _impression_rows(table: pa.Table, item_ids: pa.Array) -> pd.DataFrame:
    query, source = table["query"].is_valid(), table["source_item_id"].is_valid()
    known = pc.is_in(table["item_id"], value_set=item_ids)
    source_known = pc.or_(pc.invert(source), pc.is_in(table["source_item_id"], value_set=item_ids))
    frame: pd.DataFrame = table.select(["request_id", "surface", "platform", "position", "price"]).to_pandas()
    return frame.assign(
        price=frame["price"].fillna(np.inf),
        clicked=table["clicked"].to_numpy().astype("float32"),
        item_known=pc.and_(known, source_known).to_numpy(),
        asked=pc.if_else(pc.equal(table["surface"], "search"), query, source).to_numpy(),
    )


def refused_rows(path: Path, num_accepted: int) -> pd.DataFrame:
    """The first few refused rows of a table, each with the share of the table that was refused; one row without a name where none was."""
    file = pq.ParquetFile(path)
    share = file.metadata.num_rows / max(file.metadata.num_rows + num_accepted, 1)
    first = next(file.iter_batches(batch_size=KEPT_ROWS, columns=REFUSED_COLUMNS), None)
    frame = first.to_pandas() if first is not None and len(first) else pd.DataFrame([[""] * len(REFUSED_COLUMNS)], columns=REFUSED_COLUMNS)
    return frame.assign(share=share)
