"""Simulated days in a store: what the gateway's readers and the shop's own ingest find there."""

import datetime as dt
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.ingest.admit import language_of
from components.objects import FolderStore
from components.predictions import read_predictions
from components.serve.log.rows import TABLES
from monitoring.extras import Extras
from monitoring.probes import extras_of, probes_of
from monitoring.rehearsal.faults import fault_of
from monitoring.rehearsal.pool import load, save
from monitoring.rehearsal.stream import Stream
from monitoring.rehearsal.writing import write_days
from tests.monitoring.tiny_pool import faults, quiet, tiny_pool

POOL = tiny_pool()
CFG = quiet(rows_a_day=600, pages_a_day=50)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def table(store: FolderStore, name: str, *days: dt.date) -> pa.Table:
    """The table that the store holds of the days."""
    return pa.concat_tables(
        pq.read_table(io.BytesIO(store.get(one.key) or b"")) for day in days for one in store.stored(f"{name}/dt={day}")
    )


def test_days_are_read_back_as_the_gateways_own_predictions(tmp_path: Path):
    store, stream = FolderStore(tmp_path), Stream(POOL, 1, CFG)
    num_rows = write_days(store, stream, range(2))
    log = read_predictions(store, START, START + dt.timedelta(days=2))
    days = [stream.day(number) for number in range(2)]
    assert log.set_aside == {}
    assert log.rows.num_rows == num_rows == sum(day.rows.num_rows for day in days)
    assert log.rows.schema.equals(schema.PREDICTIONS)
    for name in ("ts", "request_id", "item_id", "image_id", "image_score", "brightness", "platform", "app_version", "width"):
        assert log.rows[name].to_pylist() == [value for day in days for value in day.rows[name].to_pylist()]
    assert np.allclose(np.stack(log.rows["vector"].to_pylist()), np.concatenate([day.vectors for day in days]), atol=1e-3)
    assert set(log.rows["fingerprint"].to_pylist()) == {POOL.fingerprint}


def test_listings_and_clicks_join_to_the_rows(tmp_path: Path):
    store, stream = FolderStore(tmp_path), Stream(POOL, 2, CFG)
    write_days(store, stream, range(50, 53))
    days = [stream.day(number) for number in range(50, 53)]
    listings = table(store, "events/listings", *(day.date for day in days))
    assert listings.schema.equals(TABLES["listings"])
    assert len(set(listings["item_id"].to_pylist())) == listings.num_rows == int(stream.year.on_sale(52).sum())
    root = {row["item_id"]: row["category"][0] for row in listings.to_pylist()}
    for day in days:
        assert [root.get(item) for item in day.rows["item_id"].to_pylist()] == day.rows["category"].to_pylist()
        pages, clicks = table(store, "events/impressions", day.date), table(store, "events/clicks", day.date)
        shown = set(zip(pages["request_id"].to_pylist(), pages["item_id"].to_pylist(), strict=True))
        assert len(shown) == pages.num_rows
        assert set(zip(clicks["request_id"].to_pylist(), clicks["item_id"].to_pylist(), strict=True)) <= shown
        assert clicks.num_rows == len(day.extras.clicked_scores)
        assert pages.num_rows == clicks.num_rows + len(day.extras.skipped_scores)
        assert set(pages["item_id"].to_pylist()) <= set(day.rows["item_id"].to_pylist())


def test_probes_say_again_what_the_extras_said(tmp_path: Path):
    store, stream = FolderStore(tmp_path), Stream(POOL, 3, CFG)
    write_days(store, stream, [4])
    day = stream.day(4)
    found, told = extras_of(table(store, "probes", day.date)), day.extras
    assert found.probe_neighbours == told.probe_neighbours
    for name in ("anchor_scores", "anchor_targets", "golden_cosine"):
        assert (getattr(found, name) == getattr(told, name)).all()
    for name in ("num_augmented", "num_self_retrieved", "num_upserts", "num_findable"):
        assert getattr(found, name) == getattr(told, name)
    nothing = extras_of(probes_of(Extras(), START))
    assert nothing.num_upserts == len(nothing.golden_cosine) == len(nothing.probe_neighbours) == 0


def test_a_day_is_written_as_the_same_bytes_again(tmp_path: Path):
    stores = [FolderStore(tmp_path / name) for name in ("one", "other")]
    for store in stores:
        write_days(store, Stream(POOL, 5, CFG), [7])
    write_days(stores[1], Stream(POOL, 5, CFG), [7])
    kept = [{one.key: store.get(one.key) for one in store.stored()} for store in stores]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 10


def test_broken_titles_are_upserts_whose_language_nobody_can_tell(tmp_path: Path):
    fault = fault_of("title_language", POOL, 6, faults())
    store, stream = FolderStore(tmp_path), Stream(POOL, 6, CFG, fault, since=2)
    write_days(store, stream, range(1, 3))
    day = stream.day(2)
    upserts = table(store, "events/listings", day.date)
    lost = {row["item_id"] for row in upserts.to_pylist() if language_of(row["title"]) == "und"}
    told = {
        item
        for item, language in zip(day.rows["item_id"].to_pylist(), day.rows["title_language"].to_pylist(), strict=True)
        if language == "und"
    }
    assert lost == told
    assert lost


def test_new_items_of_a_fault_come_with_their_listings_and_photos(tmp_path: Path):
    pool = save(POOL, {image_id: image_id.encode() for image_id in POOL.cards["image_id"].to_pylist()}, tmp_path / "pool")
    store, stream = FolderStore(tmp_path / "store"), Stream(pool, 8, CFG, fault_of("seller_flood", pool, 8, faults()), since=1)
    write_days(store, stream, range(2))
    day = stream.day(1)
    upserts, pictures = table(store, "events/listings", day.date), table(store, "events/images", day.date)
    flooded = {item for item in day.rows["item_id"].drop_null().to_pylist() if item.startswith("f-")}
    assert flooded == {item for item in upserts["item_id"].to_pylist() if item.startswith("f-")}
    before = set(table(store, "events/images", START.date())["image_id"].to_pylist())
    now = set(pictures["image_id"].to_pylist())
    assert not before & now
    assert set(day.rows["image_id"].to_pylist()) <= before | now
    assert pictures["data"][0].as_py() == pictures["image_id"][0].as_py().encode()


def test_a_pool_is_read_back_as_it_was_and_gives_the_same_days(tmp_path: Path):
    save(POOL, {}, tmp_path)
    pool = load(tmp_path)
    one, other = (Stream(found, 9, CFG).day(3) for found in (POOL, pool))
    assert pool.cards.equals(POOL.cards)
    assert (pool.fingerprint, pool.release_id) == (POOL.fingerprint, POOL.release_id)
    assert one.rows.equals(other.rows)
    assert one.vectors.tobytes() == other.vectors.tobytes()
