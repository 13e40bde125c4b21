"""Simulated days in a store, as the gateway would have logged them: predictions, listings with their photos, pages, clicks, and probes."""

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.shoppers import PLATFORMS
from components.objects import ObjectStore
from components.schema import PREDICTIONS, UTC_TIME
from components.serve.log.rows import TABLES, parquet_of
from monitoring.probes import probes_of
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.quiet import HOUR_US, HOURS, midnight_us
from monitoring.rehearsal.rows import LOST_TITLE, request_ids
from monitoring.rehearsal.stream import Day, Stream

FILES_A_DAY = 6
FILE = "rehearsal"


def write_days(store: ObjectStore, stream: Stream, days: Iterable[int]) -> int:
    """Rows of predictions written. The first of the days brings the whole catalogue, each later one what was listed on it.

    Writing a day again replaces it. Photos are written where the pool keeps them, with the day that shows them first."""
    written, seen, num_rows = np.zeros(stream.pool.cards.num_rows, bool), set[str](), 0
    for number in days:
        day = stream.day(number)
        new = _newly_listed(stream, day) & ~written
        written |= new
        shown = set(stream.pool.cards["image_id"].take(pa.array(np.union1d(np.flatnonzero(new), day.drawn.card))).to_pylist()) - seen
        seen |= shown
        for key, table in tables_of(stream, day, np.flatnonzero(new), shown):
            store.put(key, parquet_of(table))
        num_rows += day.rows.num_rows
    return num_rows


def tables_of(stream: Stream, day: Day, new: np.ndarray, shown: set[str]) -> Iterator[tuple[str, pa.Table]]:
    """What a store holds of the day, by key: with upserts of the cards `new`, and the pictures `shown`."""
    folder, pool = f"dt={day.date}", stream.pool
    if pictures := sorted(pool.pictures(shown).items()):
        columns = [pa.array(column) for column in zip(*pictures, strict=True)]
        yield f"events/images/{folder}/{FILE}.parquet", pa.table(columns, schema=TABLES["images"])
    if len(new) or day.drawn.odd_title.any():
        yield f"events/listings/{folder}/{FILE}.parquet", listings_of(stream, day, new)
    pages = impressions_of(pool, day)
    yield f"events/impressions/{folder}/{FILE}.parquet", pages
    yield f"events/clicks/{folder}/{FILE}.parquet", clicks_of(pages, day)
    last_hour = dt.datetime.combine(day.date, dt.time(HOURS - 1), dt.UTC)
    yield f"probes/{folder}/{FILE}.parquet", probes_of(day.extras, last_hour)
    predictions, part_us = predictions_of(pool, day), HOURS * HOUR_US // FILES_A_DAY
    edges = np.searchsorted(day.drawn.ts_us, midnight_us(day.date) + part_us * np.arange(FILES_A_DAY + 1)).tolist()
    for place, (first, end) in enumerate(itertools.pairwise(edges)):
        yield f"predictions/{folder}/{FILE}-{place}.parquet", predictions.slice(first, end - first)


def _newly_listed(stream: Stream, day: Day) -> np.ndarray:
    """(N,) cards whose listing is there by the day's end: those of the catalogue, and those that only came with a fault."""
    num_cards, pool = stream.pool.cards.num_rows, stream.pool
    there = np.zeros(num_cards, bool)
    there[: pool.num_quiet] = stream.year.on_sale(day.number)
    there[day.drawn.card] = True
    return np.asarray(there & (pool.number_of("made_of") < 0))


def predictions_of(pool: Pool, day: Day) -> pa.Table:
    """The day's rows as schema.PREDICTIONS: an item's photo was asked about for similar ones, a shopper's own for its score."""
    flat = pa.array(day.vectors.astype(np.float16).ravel())
    offsets = pa.array(np.arange(len(day.vectors) + 1, dtype=np.int32) * day.vectors.shape[1])
    made = {
        "route": pa.array(["score", "similar"]).take(pa.array(day.drawn.listed.astype(np.int8))),
        "release_id": pa.repeat(pool.release_id, day.rows.num_rows),
        "fingerprint": pa.repeat(pool.fingerprint, day.rows.num_rows),
        "vector": pa.ListArray.from_arrays(offsets, flat),
    }
    return pa.table({name: made[name] if name in made else day.rows[name] for name in PREDICTIONS.names}, schema=PREDICTIONS)


def listings_of(stream: Stream, day: Day, new: np.ndarray) -> pa.Table:
    """Upserts of the day: the new cards' listings, and those whose titles lost their language on the way."""
    pool, broken = stream.pool, np.unique(day.drawn.card[day.drawn.odd_title])
    cards = np.union1d(new, broken)
    found = pool.cards.take(pa.array(cards))
    num_days = np.full(pool.cards.num_rows, day.number)
    num_days[: pool.num_quiet] = stream.year.listed
    made = {
        "title": pc.if_else(pa.array(np.isin(cards, broken)), LOST_TITLE, found["title"]),
        "product_id": pa.nulls(len(cards), pa.string()),
        "status": pa.repeat("on_sale", len(cards)),
        "created_at": pa.array(midnight_us(stream.year.start) + num_days[cards] * HOURS * HOUR_US, UTC_TIME),
        "updated_at": pa.array(np.full(len(cards), midnight_us(day.date)), UTC_TIME),
        "source": pa.repeat(FILE, len(cards)),
        "simulated": pa.nulls(len(cards), TABLES["listings"].field("simulated").type),
    }
    return pa.table({name: made[name] if name in made else found[name] for name in TABLES["listings"].names}, schema=TABLES["listings"])


def impressions_of(pool: Pool, day: Day) -> pa.Table:
    """The day's pages, of similar items, each at the time of its first item's row."""
    page, slot = np.nonzero(day.pages.shown_PK)
    row, first = day.pages.row_PK[page, slot], day.pages.row_PK[page, 0]
    named = request_ids(f"p{day.number}-{day.date:%Y%m%d}", len(day.pages.row_PK)).take(pa.array(page))
    cards = pool.cards.take(pa.array(day.drawn.card[row]))
    columns = {
        "request_id": named,
        "ts": day.rows["ts"].take(pa.array(first)),
        "surface": pa.repeat("similar", len(row)),
        "platform": pa.array(PLATFORMS).take(pa.array(day.drawn.platform[first])),
        "user_id": pc.binary_join_element_wise("u", named, "-"),
        "query": pa.nulls(len(row), pa.string()),
        "source_item_id": day.rows["item_id"].take(pa.array(first)),
        "item_id": cards["item_id"],
        "price": cards["price"],
        "release_id": pa.repeat(pool.release_id, len(row)),
        "position": pa.array(slot),
        "clicked": pa.nulls(len(row), pa.bool_()),
        "purchased": pa.nulls(len(row), pa.bool_()),
        "simulated": pa.repeat(True, len(row)),
        "event_id": pc.binary_join_element_wise(named, pa.array(slot).cast(pa.string()), "/"),
    }
    return pa.table({name: columns[name] for name in TABLES["impressions"].names}, schema=TABLES["impressions"])


def clicks_of(pages: pa.Table, day: Day) -> pa.Table:
    """The clicks on the pages, some seconds later."""
    clicked = pages.filter(pa.array(day.pages.clicked_PK[day.pages.shown_PK]))
    later = pc.add(clicked["ts"], pa.scalar(dt.timedelta(seconds=20), pa.duration("us")))
    made = {
        "ts": later,
        "action": pa.repeat("click", clicked.num_rows),
        "event_id": pc.binary_join_element_wise(clicked["event_id"], "click", ":"),
    }
    return pa.table({name: made[name] if name in made else clicked[name] for name in TABLES["clicks"].names}, schema=TABLES["clicks"])
