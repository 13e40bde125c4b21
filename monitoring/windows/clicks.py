"""Scores of what was clicked and of what stood on the same pages and was not, joined by the rules of `ingest`.

K places on pages.
"""

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.ingest.pages import Items
from components.ingest.traffic import Traffic
from components.ingest.window import Window
from components.objects import ObjectStore
from components.predictions import LATE
from monitoring.windows.events import ShopEvents
from monitoring.windows.keys import named
from monitoring.windows.listings import microseconds
from monitoring.windows.scores import Scores

WAIT = dt.timedelta(days=1)  # for clicks that come later than the window's end
SHARD_BYTES, MAX_SHARDS = 4 << 20, 256  # of files of pages, that are joined at once
OPENED = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Clicks:
    """Of each place on a page of the window: its item's Image Score, float32 (K,), whether it was clicked, (K,), and the page's time in
    microseconds, (K,). `num_refused` rows of pages and clicks were at fault, `set_aside` files could not be read."""

    score: np.ndarray
    clicked: np.ndarray
    ts_us: np.ndarray
    num_refused: int = 0
    set_aside: tuple[str, ...] = ()

    def of(self, start: dt.datetime, end: dt.datetime) -> tuple[np.ndarray, np.ndarray]:
        """Scores of what was clicked and of what was not, on pages of start <= ts < end."""
        here = (self.ts_us >= microseconds(start)) & (self.ts_us < microseconds(end))
        return self.score[here & self.clicked], self.score[here & ~self.clicked]


def clicks_of(
    store: ObjectStore, start: dt.datetime, end: dt.datetime, release_id: str | None, known: tuple[Scores, ...], most: int, scratch: Path
) -> Clicks:
    """Places on the pages of the span that the release ranked, or any where it is None; of items whose score one of `known` says, the
    first that does. Whole pages, of which no more are read after `most` places. Clicks may come a day later than the span's end."""
    dates = start.date(), (end + LATE).date()
    pages, late = (ShopEvents.of(store, name, *dates) for name in ("impressions", "clicks"))
    as_of = end + WAIT
    window = Window(OPENED, as_of, math.ceil((as_of - start) / dt.timedelta(days=1)), 1.0)
    num_bytes = sum(file.bytes for file in pages.files.values())
    traffic = Traffic(window, scratch, min(1 + num_bytes // SHARD_BYTES, MAX_SHARDS))
    traffic.take(pages.tables("impressions"), late.tables("clicks"))
    found = list(_places(_joined(traffic, scratch), start, end, release_id, known, most))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)] if found else [np.zeros(0)] * 3
    refused = traffic.impressions.quarantined + traffic.clicks.quarantined
    aside = tuple(f"events/{name}" for name in sorted({*pages.set_aside, *late.set_aside}))
    return Clicks(columns[0].astype(np.float32), columns[1].astype(bool), columns[2].astype(np.int64), refused, aside)


def _joined(traffic: Traffic, scratch: Path) -> Iterator[pa.Table]:
    """Impressions with what was clicked, a shard of pages at a time; the pages of a shard are a sample of all."""
    shards, refused = scratch / "impressions", scratch / "refused"
    for folder in (shards, refused):
        folder.mkdir()
    items = pl.Series(sorted(traffic.shown), dtype=pl.String)
    traffic.write(Items(items, items), math.inf, shards, refused)
    return (pq.read_table(path, columns=["ts", "item_id", "release_id", "clicked"]) for path in sorted(shards.iterdir()))


def _places(
    tables: Iterator[pa.Table], start: dt.datetime, end: dt.datetime, release_id: str | None, known: tuple[Scores, ...], most: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    num = 0
    for table in tables:
        if num >= most:
            return
        own = np.ones(table.num_rows, bool) if release_id is None else pc.equal(table["release_id"], release_id).to_numpy()
        ts_us, score = table["ts"].cast(pa.int64()).to_numpy(), _scores(named(table["item_id"]), known)
        here = own & (ts_us >= microseconds(start)) & (ts_us < microseconds(end)) & np.isfinite(score)
        num += int(here.sum())
        yield score[here], table["clicked"].to_numpy()[here], ts_us[here]


def _scores(item_N: np.ndarray, known: tuple[Scores, ...]) -> np.ndarray:
    found = np.full(len(item_N), np.nan, np.float32)
    for scores in known:
        found = np.where(np.isnan(found), scores.find(item_N), found)
    return found
