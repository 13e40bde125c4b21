"""The event log: what append() returned for is kept, written once, and comes to the object store."""

import asyncio
import contextlib
import datetime as dt
import itertools
import socket
import sqlite3
import threading
from dataclasses import replace

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from components import schema
from components.contract import bind
from components.errors import BadParams, BadWorkspace, StageBusy
from components.objects import FolderStore, open_store
from components.serve.log import outbox
from components.serve.log.config import LogConfig
from components.serve.log.event_log import EventLog
from components.serve.log.rows import Record
from components.serve.problems import Refused
from tests.serve.log_shop import NOON, PARAMS, Broken, Clock, click, ids, keys, knobs, opened, prediction, rows, told
from tests.small_disk import small_disk


async def until(is_so, limit_s=10.0):
    """Waits until something is so."""
    end = asyncio.get_running_loop().time() + limit_s
    while not is_so():
        assert asyncio.get_running_loop().time() < end, "it did not come to be"
        await asyncio.sleep(0.01)


def test_what_was_appended_lies_in_the_store_after_a_flush_under_the_day_and_with_the_schema_of_its_table(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            appended = await log.append([click(1, user_id="hashed", platform="ios", release_id="r1"), click(2)])
            await log.flush()
            return appended, log.state()

    appended, state = asyncio.run(run())
    assert (appended.accepted, appended.repeated) == (2, 0)
    assert [key.rsplit("/", 1)[0] for key in keys(tmp_path)] == ["events/clicks/dt=2026-03-02"]
    assert sorted(rows(tmp_path), key=lambda row: row["event_id"]) == [
        {"request_id": "r-1", "item_id": "i-1", "ts": NOON, "action": "click", "event_id": "c-1"}
        | {"user_id": "hashed", "platform": "ios", "release_id": "r1"},
        {"request_id": "r-2", "item_id": "i-2", "ts": NOON, "action": "click", "event_id": "c-2"}
        | {"user_id": None, "platform": None, "release_id": None},
    ]
    assert (state.backlog_rows, state.backlog_bytes, state.oldest_s, state.flushed_rows, state.flushed_files) == (0, 0, 0.0, 2, 1)


def test_closing_flushes_and_a_closed_log_takes_nothing(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            await log.append([click(1)])
        with pytest.raises(Refused, match="log_failed"):
            await log.append([click(2)])
        with pytest.raises(Refused, match="log_failed"):
            await log.flush()
        dropped = await log.offer(prediction(1))
        await log.close()
        return dropped

    assert asyncio.run(run()).is_new == ()
    assert ids(tmp_path) == ["c-1"]


def test_an_event_that_comes_again_is_written_once_before_a_flush_after_it_and_after_a_restart(tmp_path):
    async def run():
        found = []
        async with opened(tmp_path) as log:
            found += [await log.append([click(1), click(1), click(2)]), await log.append([click(1)])]
            await log.flush()
            found += [await log.append([click(2), click(3)])]
        async with opened(tmp_path) as log:
            found += [await log.append([click(1), click(2), click(3)])]
            return found, log.state()

    found, state = asyncio.run(run())
    assert [one.is_new for one in found] == [(True, False, True), (False,), (False, True), (False, False, False)]
    assert (state.accepted, state.repeated, state.conflicts) == (0, 3, 0)
    assert ids(tmp_path) == ["c-1", "c-2", "c-3"]


def test_the_same_id_with_other_content_is_a_conflict_that_is_counted_and_told_of_once(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            await log.append([click(1)])
            with told() as lines:
                again = [await log.append([click(1, item_id="other")]) for _ in range(3)]
            return again, lines, log.state().conflicts

    again, lines, conflicts = asyncio.run(run())
    assert [one.repeated for one in again] == [1, 1, 1]
    assert (conflicts, [line for line in lines if "c-1" in line]) == (3, lines)
    assert len(lines) == 1
    assert [row["item_id"] for row in rows(tmp_path)] == ["i-1"]


def test_a_time_that_we_gave_ourselves_is_no_conflict(tmp_path):
    first, later = (replace(click(1, ts=NOON + dt.timedelta(seconds=s)), stamped=True) for s in (0, 5))

    async def run():
        async with opened(tmp_path) as log:
            await log.append([first])
            return await log.append([later]), log.state().conflicts

    appended, conflicts = asyncio.run(run())
    assert (appended.repeated, conflicts) == (1, 0)
    assert [row["ts"] for row in rows(tmp_path)] == [NOON]


def test_ids_are_remembered_for_so_many_days_and_so_many_ids(tmp_path):
    clock = Clock()

    async def run():
        async with opened(tmp_path, clock=clock, remember_days=2, max_remembered=3) as log:
            for number in range(5):
                clock.now += dt.timedelta(minutes=1)
                await log.append([click(number)])
            await log.flush()
            kept = log.state().remembered
            young = await log.append([click(4)])
            old = await log.append([click(0)])
            clock.now += dt.timedelta(days=3)
            await log.flush()
            return kept, young.repeated, old.repeated, log.state().remembered

    assert asyncio.run(run()) == (3, 1, 0, 0)


def test_callers_at_once_share_commits_and_each_hears_of_its_own(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            found = await asyncio.gather(*(log.append([click(n), click(n % 50)]) for n in range(200)))
            return found, log.state()

    found, state = asyncio.run(run())
    assert (sum(one.accepted for one in found), state.accepted, state.repeated) == (200, 200, 200)
    assert ids(tmp_path) == sorted(f"c-{n}" for n in range(200))


def test_a_caller_that_goes_away_costs_the_others_nothing(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            gone = [asyncio.ensure_future(log.append([click(n)])) for n in range(5)]
            stays = asyncio.ensure_future(log.append([click(9)]))
            await asyncio.sleep(0)
            for one in gone:
                one.cancel()
            assert (await stays).accepted == 1
            return log.state().accepted

    assert asyncio.run(run()) == 6
    assert "c-9" in ids(tmp_path)


BAD = {
    "a column that is not there": {"colour": "red"},
    "a number for a text": {"item_id": 3},
    "a time without a zone": {"ts": dt.datetime(2026, 3, 2)},
    "nothing where something must be": {"action": None},
    "half of a surrogate pair": {"item_id": "\ud800"},
}


@pytest.mark.parametrize("fault", BAD)
def test_a_record_that_its_table_cannot_hold_is_refused_with_all_of_its_append_and_costs_no_other(tmp_path, fault):
    async def run():
        async with opened(tmp_path) as log:
            bad, good = await asyncio.gather(log.append([click(1), click(2, **BAD[fault])]), log.append([click(3)]), return_exceptions=True)
            return bad, good.accepted, log.state().refused

    bad, accepted, refused = asyncio.run(run())
    assert (bad.code, accepted, refused) == ("invalid", 1, 1)
    assert ids(tmp_path) == ["c-3"]


def test_an_error_of_ours_in_a_record_ends_no_thread(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            with pytest.raises(Refused, match="internal"):
                await log.append([Record("x", "no such table", [{}])])
            return await log.append([click(1)])

    assert asyncio.run(run()).accepted == 1


def test_rows_are_flushed_by_size_in_files_of_that_size(tmp_path):
    async def run():
        async with opened(tmp_path, flush_mib=0.1) as log:
            for batch in range(30):
                await log.append([click(100 * batch + n) for n in range(100)])
            await until(lambda: log.state().backlog_bytes < 0.1 * 2**20)
            early = len(keys(tmp_path))
        return early, log.state()

    early, state = asyncio.run(run())
    sizes = sorted(pq.read_metadata(tmp_path / "store" / key).num_rows for key in keys(tmp_path))
    assert (sum(sizes), state.flushed_rows, state.flushed_files) == (3000, 3000, len(sizes))
    assert early >= 4, "without being asked for"
    assert all(550 < size < 700 for size in sizes[1:]), "only the last file, of closing, may be small"


def test_rows_are_flushed_by_age(tmp_path):
    clock = Clock()

    async def run():
        async with opened(tmp_path, clock=clock, flush_s=30.0) as log:
            await log.append([click(1)])
            clock.now += dt.timedelta(seconds=20)
            await asyncio.sleep(1.5)
            early = log.state()
            clock.now += dt.timedelta(seconds=11)
            await until(lambda: log.state().flushed_rows == 1)
            return early

    early = asyncio.run(run())
    assert (early.flushed_rows, early.backlog_rows, early.oldest_s) == (0, 1, 20.0)


def test_a_store_that_is_down_loses_nothing_and_a_batch_keeps_its_day_however_late_it_is_put(tmp_path):
    store, clock = Broken(tmp_path / "store"), Clock(NOON.replace(hour=23, minute=59))

    async def run():
        async with opened(tmp_path, store, clock, close_s=0.5) as log:
            store.is_down = True
            await log.append([click(1)])
            with pytest.raises(Refused, match=r"log_failed: the object store does not take events: the bucket cannot be reached"):
                await log.flush()
            clock.now += dt.timedelta(minutes=10)
            await log.append([click(2)])
            down = log.state()
            await log.append([click(3)])
        store.is_down = False
        async with opened(tmp_path, store, clock) as log:
            await log.flush()
            return down, log.state()

    down, up = asyncio.run(run())
    assert (down.backlog_rows, down.flush_failures, down.flush_error) == (2, 1, "the bucket cannot be reached")
    assert (up.backlog_rows, up.flush_error) == (0, None)
    assert {key.split("/")[2]: ids(tmp_path, key.rsplit("/", 1)[0]) for key in keys(tmp_path)} == {
        "dt=2026-03-02": ["c-1"],
        "dt=2026-03-03": ["c-2", "c-3"],
    }


def test_a_store_that_comes_back_is_found_without_being_asked_for(tmp_path):
    store = Broken(tmp_path / "store")

    async def run():
        async with opened(tmp_path, store, flush_mib=0.00001) as log:
            store.is_down = True
            with told() as lines:
                await log.append([click(1)])
                await until(lambda: log.state().flush_failures >= 2)
            store.is_down = False
            await until(lambda: log.state().backlog_rows == 0)
            return lines

    assert sum("wait on the local disk" in line for line in asyncio.run(run())) == 1, "a store that is down is told of once a minute"
    assert ids(tmp_path) == ["c-1"]


def test_beyond_the_bound_of_the_disk_events_are_refused_and_predictions_dropped_until_there_is_room(tmp_path):
    store = Broken(tmp_path / "store")

    async def run():
        store.is_down = True
        async with opened(tmp_path, store, max_backlog_mib=0.05, max_prediction_backlog_mib=0.01) as log:
            await asyncio.gather(*(log.offer(prediction(n)) for n in range(200)))
            dropped = log.state()
            taken, refused = 0, None
            while refused is None:
                try:
                    taken += (await log.append([click(taken)])).accepted
                except Refused as full:
                    refused = full
            full = log.state()
            store.is_down = False
            await log.flush()
            again = await log.append([click(taken)])
            return dropped, taken, full, again, refused

    dropped, taken, full, again, refused = asyncio.run(run())
    assert (dropped.predictions_kept + dropped.predictions_dropped, dropped.refused) == (200, 0)
    assert 20 < dropped.predictions_kept < 150
    assert dropped.backlog_bytes <= 0.01 * 2**20
    assert 50 < taken < 500
    assert 0.04 * 2**20 < full.backlog_bytes <= 0.05 * 2**20
    assert (again.accepted, refused.code, refused.kind.status, refused.retry_after_s) == (1, "log_failed", 503, 30)
    assert "serve.log.max_backlog_mib" in refused.detail
    assert ids(tmp_path) == sorted(f"c-{n}" for n in range(taken + 1))
    assert len(rows(tmp_path, "predictions")) == dropped.predictions_kept


def test_more_rows_than_may_wait_for_the_disk_are_told_to_come_back(tmp_path):
    async def run():
        async with opened(tmp_path, max_waiting=10) as log:
            found = await asyncio.gather(*(log.append([click(n)]) for n in range(30)), return_exceptions=True)
            alone = await log.append([click(100 + n) for n in range(50)])
            offered = await asyncio.gather(*(log.offer(prediction(n)) for n in range(30)))
            return found, alone, offered, log.state()

    found, alone, offered, state = asyncio.run(run())
    refused = [one for one in found if isinstance(one, Refused)]
    assert {(one.code, one.kind.status) for one in refused} == {("overloaded", 429)}
    assert len(refused) == 20
    assert alone.accepted == 50, "one append is taken whole where nothing else waits"
    assert (sum(one.accepted for one in offered), state.predictions_kept, state.predictions_dropped) == (10, 10, 20)


def test_the_rows_of_predictions_come_back_with_vectors_of_half_precision(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            await log.offer(prediction(1))

    asyncio.run(run())
    (row,) = rows(tmp_path, "predictions")
    assert [round(float(x), 3) for x in row["vector"]] == [0.6, 0.8]
    assert row.keys() == set(schema.PREDICTIONS.names)
    assert (row["item_id"], row["image_score"], row["latency_ms"]) == (None, None, 1.5)


def test_two_gateways_of_one_store_write_beside_each_other(tmp_path):
    async def run():
        store = FolderStore(tmp_path / "store")
        for name in ("one", "other"):
            log = await EventLog.open(tmp_path / name, store, knobs(), clock=Clock())
            await log.append([click(1)])
            await log.close()

    asyncio.run(run())
    assert ids(tmp_path) == ["c-1", "c-1"]


def test_a_second_process_is_refused_the_log(tmp_path):
    async def run():
        async with opened(tmp_path):
            with pytest.raises(StageBusy):
                await EventLog.open(tmp_path / "state", FolderStore(tmp_path / "store"), knobs())

    asyncio.run(run())


def test_a_damaged_log_is_refused_by_name_and_left_as_it_is(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "events.sqlite").write_bytes(b"no database" * 1000)

    async def run():
        async with opened(tmp_path):
            pass

    with pytest.raises(BadWorkspace, match=r"events.sqlite cannot be opened: .*move it away and keep it"):
        asyncio.run(run())
    assert (tmp_path / "state" / "events.sqlite").read_bytes().startswith(b"no database")


def test_a_log_of_another_version_is_refused_and_says_what_to_do(tmp_path):
    async def run():
        async with opened(tmp_path):
            pass

    asyncio.run(run())
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "events.sqlite")) as database, database:
        database.execute("UPDATE about SET value = '0' WHERE name = 'format'")
    with pytest.raises(BadWorkspace, match="has format 0, this version reads 1"):
        asyncio.run(run())


def test_rows_that_no_longer_fit_their_table_are_set_aside_and_the_others_flushed(tmp_path):
    async def run():
        store = Broken(tmp_path / "store")
        store.is_down = True
        async with opened(tmp_path, store, close_s=0.1) as log:
            await log.append([click(1), click(2), click(3)])
        with sqlite3.connect(tmp_path / "state" / "events.sqlite") as older:
            older.execute("UPDATE clicks SET row = ? WHERE seq = 2", [b'{"request_id":"r-2","event_id":"c-2"}'])
        async with opened(tmp_path) as log:
            await log.flush()
            return log.state()

    state = asyncio.run(run())
    assert (state.set_aside, state.backlog_rows, state.flushed_rows) == (1, 0, 2)
    assert ids(tmp_path) == ["c-1", "c-3"]


def test_a_disk_that_is_full_refuses_events_whole_and_takes_them_again_once_there_is_room(tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:

        async def run():
            log = await EventLog.open(disk.folder / "state", FolderStore(tmp_path / "store"), knobs(), clock=Clock())
            await log.append([click(0)])
            disk.fill()
            taken, refused = 1, []
            while len(refused) < 3:
                try:
                    await log.append([click(taken), click(taken + 1000)])
                    taken += 1
                except Refused as full:
                    refused.append(full)
                    with pytest.raises(Refused, match="log_failed"):
                        await log.append([click(n + 5000) for n in range(2000)])
            assert {one.code for one in refused} == {"log_failed"}
            full = log.state()
            disk.free()
            again = await log.append([click(taken), click(taken + 1000)])
            await log.close()
            return taken, full, again

        taken, full, again = asyncio.run(run())
    assert full.backlog_rows == 2 * taken - 1
    assert again.accepted == 2, "nothing of a refused append was remembered"
    assert ids(tmp_path) == sorted(["c-0", *(f"c-{n + more}" for n in range(1, taken + 1) for more in (0, 1000))])


def test_a_clock_may_not_run_further_ahead_than_ingest_forgives():
    with pytest.raises(BadParams, match=r"serve.log.max_clock_skew_s = 900.0"):
        bind(LogConfig, "serve.log", {"serve.log": PARAMS["serve"]["log"] | {"max_clock_skew_s": 900.0}})


def test_while_the_bucket_is_gone_events_are_taken_and_come_to_it_once_it_is_back(tmp_path, s3, monkeypatch):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    there = open_store(f"{s3.url}/event-log-gone")
    with socket.socket() as port:  # bound and never listening: nobody answers there
        port.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{port.getsockname()[1]}"
        client = boto3.client("s3", endpoint_url=address, config=Config(retries={"total_max_attempts": 2}))
        gone = replace(there, client=client)

        async def run():
            async with opened(tmp_path, gone, close_s=0.2) as log:
                first = await log.append([click(1)])
                flush = asyncio.ensure_future(log.flush())
                during = await log.append([click(2)])
                with pytest.raises(Refused, match="log_failed: the object store does not take events: s3://"):
                    await flush
            return first.accepted, during.accepted

        assert asyncio.run(run()) == (1, 1)

    async def back():
        async with opened(tmp_path, there) as log:
            await log.flush()
            return log.state()

    state = asyncio.run(back())
    assert (state.flushed_rows, state.backlog_rows) == (2, 0)
    found = [pq.read_table(pa.BufferReader(there.get(one.key)))["event_id"].to_pylist() for one in there.stored("events/clicks")]
    assert sorted(event_id for file in found for event_id in file) == ["c-1", "c-2"]


def test_a_store_that_hangs_does_not_hold_up_closing_and_what_it_kept_waiting_comes_once(tmp_path):
    goes_on = threading.Event()

    class Hanging(Broken):
        def put(self, key, data):
            goes_on.wait(20)
            super().put(key, data)

    async def run():
        began = asyncio.get_running_loop().time()
        async with opened(tmp_path, Hanging(tmp_path / "store"), close_s=0.1) as log:
            await log.append([click(1)])
        took_s = asyncio.get_running_loop().time() - began
        async with opened(tmp_path) as log:
            goes_on.set()
            await log.append([click(1), click(2)])
            await log.flush()
        return took_s

    assert asyncio.run(run()) < 5
    assert ids(tmp_path) == ["c-1", "c-2"]


def test_a_disk_that_fails_while_sent_rows_are_removed_doubles_nothing(tmp_path, monkeypatch):
    calls, delete = itertools.count(1), outbox.Outbox._delete

    def fails_once(self, *span):
        if self.journal.path.is_relative_to(tmp_path) and next(calls) == 2:  # gateways of other tests have outboxes too
            raise sqlite3.OperationalError("disk I/O error")
        return delete(self, *span)

    monkeypatch.setattr(outbox, "DELETED_AT_ONCE", 10)
    monkeypatch.setattr(outbox.Outbox, "_delete", fails_once)

    async def run():
        async with opened(tmp_path) as log:
            await log.append([click(n) for n in range(30)])
            with pytest.raises(Refused, match="disk I/O error"):
                await log.flush()
            half = log.state().backlog_rows
            await log.flush()
            return half, log.state().backlog_rows

    assert asyncio.run(run()) == (20, 0)
    assert ids(tmp_path) == sorted(f"c-{n}" for n in range(30))
