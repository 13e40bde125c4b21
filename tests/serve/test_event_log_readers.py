"""What the gateway writes is what the next training reads: the event log through a store, and `ingest` over it."""

import asyncio
import datetime as dt
import io
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import schema
from components.ingest.window import CLOCK_SLACK
from components.objects import open_store
from components.predictions import read_predictions
from components.serve.items import Item
from components.serve.log.event_log import EventLog
from components.serve.log.intake import EventIntake
from components.serve.log.predictions import Prediction, Predictions
from components.serve.log.records import deleted_records, listing_records
from components.serve.log.rows import TABLES
from components.serve.log.users import UserHash
from components.serve.log.wire import EventsRequest
from tests.data.events_shop import Shop, at, digest, photo
from tests.serve.log_shop import Clock, knobs

USERS = UserHash(b"0123456789abcdef")


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path, monkeypatch):
    """The store's address: a folder, or a bucket of a real server."""
    if request.param == "folder":
        return str(tmp_path / "store")
    s3 = request.getfixturevalue("s3")
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return f"{s3.url}/event-log"


def item(number, when, **changes):
    made = Item(
        item_id=f"i-{number}",
        title=f"シャツ {number}",
        category=("Fashion", "Shirts"),
        price=900.0 + number,
        currency="JPY",
        status="on_sale",
        image_id=digest(number),
        created_at=at(1, 0),
        updated_at=when,
        seller_id="s-1",
        app_version="1.2.3",
    )
    return replace(made, **changes)


def exposure(number, items, when, **changes):
    shown = [{"item_id": f"i-{one}", "position": place, "price": 900.0 + one} for place, one in enumerate(items)]
    made = {"type": "exposure", "event_id": f"e-{number}", "ts": when.isoformat(), "request_id": f"r-{number}", "surface": "search"}
    made |= {"platform": "ios", "user_id": f"u-{number}@shop.example", "query": "シャツ", "release_id": "a" * 64, "items": shown}
    return made | changes


def act(event_id, number, one, when, kind="click", **changes):
    made = {"type": kind, "event_id": event_id, "ts": when.isoformat(), "request_id": f"r-{number}", "item_id": f"i-{one}"}
    return made | changes


class Gateway:
    """Writes through the log at a store, with a clock that tests set."""

    def __init__(self, folder, store):
        self.folder, self.store, self.clock = folder, store, Clock()

    async def __aenter__(self):
        self.cfg = knobs()
        self.log = await EventLog.open(self.folder / "state", self.store, self.cfg, clock=self.clock)
        self.intake = EventIntake.of(self.log, self.cfg, USERS)
        return self

    async def __aexit__(self, *error):
        await self.log.close()

    async def upsert(self, item, data):
        self.clock.now = item.updated_at
        return await self.log.append(listing_records(item, data))

    async def post(self, now, *events):
        self.clock.now = now
        return await self.intake.take(EventsRequest(events=list(events)), now)


async def written(folder, place):
    """Three days of a shop, some of it sent twice; what the gateway answered."""
    async with Gateway(folder, open_store(place)) as gateway:
        for number in range(5):
            await gateway.upsert(item(number, at(1, 1)), photo(number))
        await gateway.upsert(item(5, at(1, 2), image_id=digest(0)), photo(0))  # shows a photo that is there
        await gateway.log.flush()
        pages = [exposure(1, [0, 1, 2], at(2)), exposure(2, [3], at(2), surface="similar", query=None, source_item_id="i-0")]
        answers = [await gateway.post(at(2, 12.1), *pages), await gateway.post(at(2, 12.1), *pages)]
        await gateway.upsert(item(0, at(2, 13), price=500.0), None)
        await gateway.upsert(item(0, at(2, 13), price=500.0), None)
        await gateway.log.flush()
        acts = [act("a-1", 1, 1, at(3)), act("a-2", 1, 1, at(3, 13), "purchase"), act("a-3", 1, 2, at(3), "like"), act("a-4", 2, 3, at(3))]
        answers += [await gateway.post(at(3, 13.1), *acts, *pages), await gateway.post(at(3, 13.1), *acts)]
        gateway.clock.now = at(3, 14)
        await gateway.log.append(deleted_records(item(4, at(1, 1)), at(3, 14)))
    return [(one.accepted, one.repeated, one.refused) for one in answers]


def ingested(folder, place):
    (folder / "shop").mkdir()
    shop = Shop(folder / "shop")
    shop.events = f"{place}/events"
    shop.cfg = shop.cfg.model_copy(update={"path": shop.events})
    return shop, shop.take()


def test_listings_photos_pages_and_clicks_come_into_ingest_as_they_were_sent_each_once(tmp_path, place):
    answers = asyncio.run(written(tmp_path, place))
    assert answers == [(2, 0, []), (0, 2, []), (4, 2, []), (0, 4, [])]
    shop, summary = ingested(tmp_path, place)
    assert (summary.quarantined, summary.quarantined_impressions, summary.quarantined_clicks, summary.files_set_aside) == ({}, {}, {}, {})
    listed = shop.items()
    assert listed.keys() == {f"i-{n}" for n in range(6)}
    assert (listed["i-0"]["price"], listed["i-4"]["status"], listed["i-5"]["image_id"]) == (500.0, "deleted", digest(0))
    told = ("item_id", "title", "category", "seller_id", "currency", "app_version", "created_at")
    assert {name: listed["i-1"][name] for name in told} == {
        "item_id": "i-1",
        "title": "シャツ 1",
        "category": ["Fashion", "Shirts"],
        "seller_id": "s-1",
        "currency": "JPY",
        "app_version": "1.2.3",
        "created_at": at(1, 0),
    }
    assert {one["image_id"]: one["data"] for one in shop.table("images")} == {digest(n): photo(n) for n in range(5)}
    assert {key: (one["position"], one["clicked"], one["purchased"]) for key, one in shop.shown().items()} == {
        ("r-1", "i-0"): (0, False, False),
        ("r-1", "i-1"): (1, True, True),
        ("r-1", "i-2"): (2, False, False),
        ("r-2", "i-3"): (0, True, False),
    }
    page = shop.shown()["r-2", "i-3"]
    assert (page["surface"], page["source_item_id"], page["query"], page["platform"]) == ("similar", "i-0", None, "ios")
    assert (page["user_id"], page["release_id"], page["ts"], page["simulated"]) == (USERS("u-2@shop.example"), "a" * 64, at(2), False)


def test_the_account_of_what_the_gateway_wrote_counts_nothing_twice_and_a_like_as_left_out(tmp_path):
    asyncio.run(written(tmp_path, place := str(tmp_path / "store")))
    accounts = ingested(tmp_path, place)[1].accounts
    counted = {table: {word: count for word, count in account.items() if count} for table, account in accounts.items()}
    assert counted == {
        "listings": {"rows_in": 8, "rows_out": 6, "superseded": 2},
        "images": {"rows_in": 5, "rows_out": 5},
        "impressions": {"rows_in": 4, "rows_out": 4},
        "clicks": {"rows_in": 4, "rows_out": 3, "left_out": 1},
    }


def test_every_file_has_exactly_the_columns_of_its_table_and_those_named_beside(tmp_path):
    asyncio.run(written(tmp_path, str(tmp_path / "store")))
    files = sorted((tmp_path / "store" / "events").rglob("*.parquet"))
    assert {path.parts[-3] for path in files} == set(schema.EVENTS)
    for path in files:
        table = path.parts[-3]
        beside = schema.EVENTS_BESIDE[table]
        assert pq.read_schema(path).equals(pa.schema([*schema.EVENTS[table], *beside]))
        assert not set(beside.names) & set(schema.EVENTS[table].names)
    assert TABLES.keys() == {*schema.EVENTS, "predictions", "answers"}


def test_no_raw_user_id_reaches_the_disk(tmp_path):
    asyncio.run(written(tmp_path, str(tmp_path / "store")))
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        assert b"@shop.example" not in path.read_bytes(), path
    pages = pq.read_table(next((tmp_path / "store" / "events" / "impressions").rglob("*.parquet")))
    assert all(len(user) == 64 for user in pages["user_id"].to_pylist())


def test_the_latest_time_that_is_taken_is_forgiven_by_ingest_to_the_second(tmp_path):
    midnight = at(3, 0)

    async def run():
        async with Gateway(tmp_path, open_store(str(tmp_path / "store"))) as gateway:
            gateway.cfg = knobs(max_clock_skew_s=CLOCK_SLACK.total_seconds())
            gateway.intake = EventIntake.of(gateway.log, gateway.cfg, USERS)
            await gateway.upsert(item(0, at(2, 1)), photo(0))
            now = midnight - dt.timedelta(seconds=1)
            return await gateway.post(now, exposure(1, [0], now + CLOCK_SLACK), exposure(2, [0], now + CLOCK_SLACK * 1.01))

    answer = asyncio.run(run())
    assert (answer.accepted, [(one.event_id, one.code) for one in answer.refused]) == (1, [("e-2", "time_in_future")])
    _, summary = ingested(tmp_path, str(tmp_path / "store"))
    assert (summary.quarantined_impressions, summary.num_impressions) == ({}, 1)


def prediction(number, when, width=3, **changes):
    import numpy as np

    vector = np.full(width, 1 / width**0.5, np.float32)
    made = {"ts": when, "request_id": f"r-{number}", "route": "similar", "release_id": "a" * 64, "fingerprint": "f1", "vector": vector}
    return Prediction(**made | {"latency_ms": 2.5, "image_id": digest(0), "image_score": 0.25, "width": 40} | changes)


def test_predictions_are_read_back_by_time_through_any_store(tmp_path, place):
    store = open_store(place)

    async def run():
        async with Gateway(tmp_path, store) as gateway:
            predictions = Predictions(gateway.log, share=1.0)
            for day in (2, 3, 4):
                gateway.clock.now = at(day, 23.9)
                await predictions.add(prediction(day, at(day)))
                await predictions.add(prediction(f"{day}-late", at(day, 23), width=5, item_id="i-1"))
                await gateway.log.flush()

    asyncio.run(run())
    found = read_predictions(store, at(2, 22), at(4, 12))
    assert (found.rows.schema, found.set_aside) == (schema.PREDICTIONS, {})
    assert found.rows["request_id"].to_pylist() == ["r-2-late", "r-3", "r-3-late"]
    assert [len(vector) for vector in found.rows["vector"].to_pylist()] == [5, 3, 5]
    (row,) = found.rows.slice(1, 1).to_pylist()
    assert (row["ts"], row["image_score"], row["width"], row["item_id"], row["brightness"]) == (at(3), 0.25, 40, None, None)


def test_files_that_are_no_predictions_are_set_aside_by_name_and_the_others_read(tmp_path):
    store = open_store(str(tmp_path / "store"))

    async def run():
        async with Gateway(tmp_path, store) as gateway:
            gateway.clock.now = at(2)
            await Predictions(gateway.log, 1.0).add(prediction(1, at(2)))

    asyncio.run(run())
    good = store.get(next(store.stored("predictions")).key)
    table = pq.read_table(io.BytesIO(good))
    other = {
        "cut": good[: len(good) // 2],
        "empty": b"",
        "foreign": parquet(pa.table({"colour": ["red"]})),
        "untyped": parquet(table.set_column(0, "ts", pa.array(["yesterday"]))),
        "null": parquet(table.set_column(1, pa.field("request_id", pa.string()), pa.array([None], pa.string()))),
        "hollow": good[:4] + bytes(len(good) // 2) + good[4 + len(good) // 2 :],
    }
    for name, data in other.items():
        store.put(f"predictions/dt=2026-03-02/{name}.parquet", data)
    store.put("predictions/dt=2026-03-02/more.parquet", parquet(table.drop_columns(["width"]).append_column("extra", pa.array([1]))))
    store.put("predictions/elsewhere.parquet", b"")
    found = read_predictions(store, at(2, 0), at(3, 0))
    assert {key.split("/")[-1].removesuffix(".parquet") for key in found.set_aside} == set(other)
    assert all(found.set_aside.values())
    assert found.rows["width"].to_pylist() in ([40, None], [None, 40])


def parquet(table):
    pq.write_table(table, sink := io.BytesIO())
    return sink.getvalue()


def test_where_there_are_no_predictions_there_is_a_table_without_rows(tmp_path):
    found = read_predictions(open_store(str(tmp_path / "store")), at(2), at(3))
    assert (found.rows.num_rows, found.rows.schema) == (0, schema.PREDICTIONS)
