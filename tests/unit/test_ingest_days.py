"""The simulated market day by day: a day depends on its number alone, and what it writes is what `ingest` can take."""

import datetime as dt
import hashlib
import io
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components import schema
from components.contract import bind, read_params
from components.ingest.days import MarketDays
from components.ingest.files import event_file, read_table
from components.ingest.logbook import Logbook
from components.ingest.market import MarketConfig

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")
OPENED = dt.date(2026, 1, 1)
DAILY = {"new_share": 0.1, "price_share": 0.1, "sold_share": 0.05, "deleted_share": 0.05, "photo_share": 0.1}


def make_cfg(**changes):
    small = {"num_listings": 60, "num_sellers": 12, "num_users": 40, "num_requests": 1400, "photo_px": 64, "daily": DAILY}
    return bind(MarketConfig, "market", {"market": PARAMS["market"] | small | changes})


def written(num_days, first_kept=0, **changes):
    """The files of the days from first_kept on, by name."""
    logbook = Logbook(MarketDays(make_cfg(**changes), OPENED, num_days))
    return {name: data for day in range(num_days) for name, data in logbook.day(day, to_keep=day >= first_kept)}


def rows_of(files, table):
    """The table's rows, each with the day of its file."""
    found = [(event_file(name), data) for name, data in files.items() if name.startswith(table)]
    return [(file.day, row) for file, data in found for row in read_table(data, table).to_pylist()]


@pytest.fixture(scope="module")
def files():
    return written(6)


def test_a_day_has_the_same_bytes_however_many_are_written_and_kept(files):
    assert written(4) == {name: data for name, data in files.items() if event_file(name).day < dt.date(2026, 1, 5)}
    assert written(6, first_kept=4) == {name: data for name, data in files.items() if event_file(name).day >= dt.date(2026, 1, 5)}


def test_every_file_fits_the_tables_of_events_as_they_are_documented(files):
    for name, data in files.items():
        wanted = schema.EVENTS[event_file(name).table]
        found = pq.read_schema(io.BytesIO(data))
        assert [found.field(one).type for one in found.names] == [wanted.field(one).type for one in found.names]
        assert {field.name for field in wanted if not field.nullable} <= set(found.names)


def test_new_listings_appear_on_their_day_and_old_ones_change(files):
    upserts = rows_of(files, "listings")
    first = Counter()
    for day, row in sorted(upserts, key=lambda one: one[0]):
        first.setdefault(row["item_id"], day)
        assert row["updated_at"].date() == day or day == OPENED > row["updated_at"].date()
    assert Counter(first.values()) == {OPENED: 60} | {OPENED + dt.timedelta(days=n): 6 for n in range(1, 6)}
    again = [row for day, row in upserts if day != first[row["item_id"]]]
    assert {row["status"] for row in again} == {"on_sale", "sold", "deleted"}
    versions = {}
    for _, row in upserts:
        versions.setdefault(row["item_id"], []).append(row)
    changed = [rows for rows in versions.values() if len(rows) > 1]
    assert any(len({row["price"] for row in rows}) > 1 for rows in changed)
    assert any(len({row["image_id"] for row in rows}) > 1 for rows in changed)


def test_photos_are_named_by_their_digest_and_sent_before_they_are_shown(files):
    sent = {row["image_id"]: day for day, row in rows_of(files, "images")}
    assert all(hashlib.sha256(row["data"]).hexdigest() == row["image_id"] for _, row in rows_of(files, "images"))
    unsent = [row["item_id"] for day, row in rows_of(files, "listings") if sent.get(row["image_id"], dt.date.max) > day]
    assert len(unsent) <= 1  # broken on purpose


def test_pages_show_what_was_on_sale_when_the_day_began(files):
    status = {}
    for day in sorted({day for day, _ in rows_of(files, "impressions")}):
        if day == OPENED:
            status |= {row["item_id"]: row["status"] for at, row in rows_of(files, "listings") if at == day}
        shown = [row for at, row in rows_of(files, "impressions") if at == day]
        assert {status[row["item_id"]] for row in shown} == {"on_sale"}
        assert {row["ts"].date() for row in shown} == {day}
        assert len({row["request_id"] for row in shown}) == 50
        status |= {row["item_id"]: row["status"] for at, row in rows_of(files, "listings") if at == day}


def test_clicks_follow_their_pages_and_some_reach_the_log_on_the_next_day():
    files = written(4, num_requests=28_000, click={**PARAMS["market"]["click"], "intercept": 1.0})
    shown = {(row["request_id"], row["item_id"]): row["ts"] for _, row in rows_of(files, "impressions")}
    late = 0
    for day, row in rows_of(files, "clicks"):
        page = shown[row["request_id"], row["item_id"]]
        assert page < row["ts"] < page + dt.timedelta(days=1)
        assert row["ts"].date() <= day <= page.date() + dt.timedelta(days=1)
        late += day > page.date()
    assert late > 0
    assert {row["action"] for _, row in rows_of(files, "clicks")} == {"click", "purchase"}


def test_what_is_broken_on_purpose_is_never_shown_or_changed():
    files = written(5, bad_share=0.3)
    prices = Counter(row["item_id"] for _, row in rows_of(files, "listings") if row["price"] < 0)
    assert prices
    assert set(prices.values()) == {1}
    assert not prices.keys() & {row["item_id"] for _, row in rows_of(files, "impressions")}


def test_an_impression_is_logged_as_it_was_served(files):
    (name, data), *_ = [one for one in files.items() if one[0].startswith("impressions")]
    table = pq.read_table(pa.BufferReader(data))
    assert not {"clicked", "purchased"} & set(table.column_names)
    assert pc.all(table["simulated"]).as_py(), name
