"""The embedded index: what a kill, a damaged file, a full disk and too much work do to it."""

import asyncio
import datetime as dt
import logging
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import BadParams, BadState, StageBusy
from components.manifest import verified_manifest
from components.serve.index.embedded.generation import EmbeddedGeneration
from components.serve.index.store import open_index
from components.serve.items import Filters, Placed
from components.serve.problems import Refused
from tests.conftest import PROJECT
from tests.serve.index_stores import CELLS, DIM, FLAT, T0, Place, index_config, nearest, placed, recall, rows_of, unit
from tests.serve.index_writer import NUM_PAIRS, SMALL, row_of, vector_of

ALL = Filters()
LATER = T0 + dt.timedelta(seconds=1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("embedded", tmp_path)


async def ids(generation, query, k, filters=ALL, *, exact=False):
    return [hit.item.item_id for hit in await generation.search(query, k, filters, fingerprint="fp", exact=exact)]


class Told:
    """What a killed writer had begun and what it had been told is done, by pair: version and whether it was a deletion."""

    def __init__(self) -> None:
        self.begun: dict[int, list[tuple[int, bool]]] = {}
        self.done: dict[int, list[tuple[int, bool]]] = {}

    def read(self, lines: list[str]) -> None:
        """Adds a writer's output; the last line may be torn."""
        for line in lines:
            word, *numbers = line.split()
            if word in ("begin", "done") and line.endswith("\n"):
                pair, version, delete = map(int, numbers)
                (self.begun if word == "begin" else self.done).setdefault(pair, []).append((version, bool(delete)))

    def may_stand(self, pair: int) -> list[dict[str, int | None]]:
        """The states of the pair that hold every acknowledged write, with or without those that a kill cut off."""
        states: list[dict[str, int | None]] = [{"a": None, "b": None}]
        for version, delete in self.begun.get(pair, []):
            after = [{"a": None if delete else version, "b": state["b"] if delete else version} for state in states]
            states = after if (version, delete) in self.done.get(pair, []) else states + after
        return states


def killed_writer(state: Path, seed: int, turn: int, after_s: float) -> list[str]:
    """The lines of a writer that was killed so long after it had opened the store."""
    command = [sys.executable, "-m", "tests.serve.index_writer", str(state), str(seed), str(turn)]
    with open(state / "told", "w+") as told, subprocess.Popen(command, cwd=PROJECT, stdout=told) as writer:
        deadline = time.monotonic() + 60
        while "open" not in (state / "told").read_text() and time.monotonic() < deadline:
            assert writer.poll() is None, "the writer could not open what the one before left"
            time.sleep(0.02)
        time.sleep(after_s)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    return (state / "told").read_text().splitlines(keepends=True)


@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_is_there_after_kill_9_at_any_moment(place, seed):
    rng, told = random.Random(seed), Told()

    async def check() -> None:
        for snapshot in (place.state / "index" / "g").glob("snapshot-*"):
            verified_manifest(snapshot)
        async with place.open(CELLS, embedded=SMALL) as store:
            generation, found = await store.generation("g"), 0
            for pair in range(NUM_PAIRS):
                there = {side: await generation.get(f"{side}{pair:03d}") for side in "ab"}
                versions = {side: int(row.item.title) if row else None for side, row in there.items()}
                assert versions in told.may_stand(pair), pair
                for side, row in there.items():
                    if row:
                        wanted = row_of(pair, side, int(row.item.title))
                        assert row.item == wanted.item
                        assert row.image_score == pytest.approx(wanted.image_score)
                        np.testing.assert_allclose(row.vector, wanted.vector, atol=5e-4)  # kept in 16 bits a value once compacted
                        assert (await ids(generation, row.vector, 1)) == [row.item.item_id]
                        found += 1
            assert await generation.count() == found == len(await generation.item_ids(None, 10_000))

    for turn in range(1, 4):
        told.read(killed_writer(place.state, seed, turn, rng.uniform(0.05, 0.8)))
        asyncio.run(check())
    assert sum(map(len, told.done.values())) > 300


def test_a_second_process_is_refused_until_the_first_lets_go(place):
    async def main() -> None:
        async with place.open():
            with pytest.raises(StageBusy, match=r"already running.*postgres"):
                async with place.open():
                    pass
        async with place.open() as store:
            assert await store.generations() == []

    asyncio.run(main())


def test_more_replicas_than_one_are_refused_and_shown_the_way(tmp_path):
    with pytest.raises(BadParams, match=r"serve\.index\.replicas = 2.*postgres"):
        asyncio.run(open_index(index_config({"replicas": 2}), tmp_path, FLAT))


def flip(path: Path, at: int) -> None:
    """Turns one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "truncated vectors": lambda folder: truncated(folder / "index.faiss"),
    "one bit of the vectors": lambda folder: flip(folder / "index.faiss", 5000),
    "no vectors": lambda folder: (folder / "index.faiss").unlink(),
    "truncated ids": lambda folder: truncated(folder / "items.parquet"),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "manifest of nothing": lambda folder: (folder / "manifest.json").write_text("{}"),
    "empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
    "another journal's": lambda folder: shutil.move(folder, folder.with_name("snapshot-0000000000009999")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_snapshot_is_built_again_from_the_journal_with_a_warning(place, damage, caplog):
    rows = rows_of(unit(500))

    async def main() -> None:
        async with place.generation(rows[:480]) as (_, generation):
            await generation.put(rows[480:], fingerprint="fp")
            await generation.delete("i00003", LATER)
        (snapshot,) = (place.state / "index" / "g").glob("snapshot-*")
        DAMAGE[damage](snapshot)
        if damage == "another journal's":  # sound, but it claims changes that the journal does not have
            snapshot = snapshot.with_name("snapshot-0000000000009999")
            facts = snapshot / "manifest.json"
            facts.write_text(facts.read_text().replace('"seq": 480', '"seq": 9999'))
        with caplog.at_level(logging.WARNING, "vitrine"):
            async with place.open(embedded={"compact_after": 100}) as store:
                generation = await store.generation("g")
                assert "built again" in caplog.text
                assert await generation.count() == 499
                assert await generation.get("i00003") is None
                there = [row for row in rows if row.item.item_id != "i00003"]
                found = [await ids(generation, row.vector, 10) for row in there[:40]]
                assert recall(found, [nearest(there, row.vector, 10) for row in there[:40]]) >= 0.93
                await generation.compaction.ended()
        caplog.clear()
        async with place.open() as store:
            await store.generation("g")
            assert caplog.text == "", "a sound snapshot stands there again"

    asyncio.run(main())


def test_what_a_killed_writer_left_half_made_is_cleared_away(place):
    async def main() -> None:
        async with place.generation(rows_of(unit(300))):
            pass
        folder = place.state / "index"
        (folder / "g" / ".partial-snapshot-0000000000000400").mkdir()
        (folder / ".partial-h").mkdir()
        (folder / ".partial-h" / "items.sqlite").write_bytes(b"half")
        async with place.open() as store:
            assert await (await store.generation("g")).count() == 300
            assert [about.name for about in await store.generations()] == ["g"]
        assert not list(folder.rglob(".partial-*"))

    asyncio.run(main())


def damaged_row(path: Path, column: str) -> None:
    """Turns a bit in one row, as a failing disk does, below SQLite's own checks."""
    with sqlite3.connect(path) as connection:
        (value,) = connection.execute(f"SELECT {column} FROM items WHERE item_id = 'i00007'").fetchone()
        connection.execute(f"UPDATE items SET {column} = ? WHERE item_id = 'i00007'", (value[:-2] + bytes([value[-2] ^ 1]) + value[-1:],))
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database at all" * 1000),
        lambda path: path.write_bytes(b"\0" * 100 + path.read_bytes()[100:]),
        truncated,
        lambda path: path.unlink(),
        lambda path: damaged_row(path, "row"),
    ],
    ids=["empty", "garbage", "no header", "truncated", "missing", "one bit of a row"],
)
def test_a_damaged_journal_is_an_error_and_not_a_smaller_catalogue(place, damage):
    async def main() -> None:
        async with place.generation(rows_of(unit(500))):
            pass
        damage(place.state / "index" / "g" / "items.sqlite")
        with pytest.raises(BadState, match=r"items\.sqlite"):
            async with place.open() as store:
                await store.generation("g")

    asyncio.run(main())


def test_a_damaged_vector_in_the_journal_is_told_where_it_is_read(place):
    async def main() -> None:
        async with place.generation(rows_of(unit(500))):
            pass
        damaged_row(place.state / "index" / "g" / "items.sqlite", "vector")
        async with place.open() as store:
            generation = await store.generation("g")
            assert await ids(generation, unit(1)[0], 3), "searches go by the snapshot, which is sound"
            with pytest.raises(Refused, match="index_failed"):
                await generation.page(None, 100)
        shutil.rmtree(next((place.state / "index" / "g").glob("snapshot-*")))
        with pytest.raises(BadState, match="damaged"):
            async with place.open() as store:
                await store.generation("g")

    asyncio.run(main())


@pytest.mark.parametrize("text", ["", "{", '{"active": "g"}', "[]", '{"active": "lost", "previous": [], "version": 1}'])
def test_a_damaged_alias_is_an_error(place, text):
    async def main() -> None:
        async with place.generation():
            pass
        (place.state / "index" / "alias.json").write_text(text)
        with pytest.raises(BadState, match=r"alias\.json"):
            async with place.open():
                pass

    asyncio.run(main())


def test_a_full_disk_refuses_what_it_cannot_keep_and_takes_more_when_there_is_room(place):
    rows = rows_of(unit(400))

    async def main() -> None:
        async with place.generation(rows[:100]) as (_, generation):
            journal: sqlite3.Connection = generation.held.journal._connection
            (num_pages,) = journal.execute("PRAGMA page_count").fetchone()
            journal.execute(f"PRAGMA max_page_count = {num_pages + 1}")
            with pytest.raises(Refused, match="index_failed"):
                await generation.put(rows[100:], fingerprint="fp")
            assert await generation.count() == 100
            assert await generation.get("i00399") is None
            journal.execute("PRAGMA max_page_count = 1000000")
            assert await generation.put(rows[100:], fingerprint="fp") == 300
            assert await generation.count() == 400
        async with place.open() as store:
            assert await (await store.generation("g")).count() == 400

    asyncio.run(main())


def test_a_switch_that_cannot_be_kept_is_no_switch(place):
    async def main() -> None:
        async with place.generation() as (store, _):
            (place.state / "index" / ".partial-alias.json").mkdir()
            with pytest.raises(Refused, match="index_failed"):
                await store.switch("g", version=0)
            assert (await store.alias()).active is None
            (place.state / "index" / ".partial-alias.json").rmdir()
            assert (await store.switch("g", version=0)).active == "g"

    asyncio.run(main())


def test_a_generation_that_was_closed_answers_every_write_with_a_refusal(place):
    async def main() -> None:
        async with place.generation() as (store, generation):
            await store.drop("g")
            for call in (
                generation.put(rows_of(unit(2)), fingerprint="fp"),
                generation.delete("a", LATER),
                generation.complete(),
                generation.page(None, 5),
            ):
                with pytest.raises(Refused, match="release_unknown"):
                    await asyncio.wait_for(call, 10)

    asyncio.run(main())


def test_a_snapshot_that_cannot_be_written_costs_time_at_the_next_start_only(place, caplog):
    rows = rows_of(unit(500))

    async def main() -> None:
        async with place.open() as store:
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.fill("g", rows, fingerprint="fp")
            (place.state / "index" / "g" / ".partial-snapshot-0000000000000500").write_text("in the way")
            with caplog.at_level(logging.WARNING, "vitrine"):
                await store.finished("g")
            assert "no snapshot was written" in caplog.text
            assert await ids(await store.generation("g"), rows[3].vector, 1) == ["i00003"]
        (place.state / "index" / "g" / ".partial-snapshot-0000000000000500").unlink()
        async with place.open() as store:
            generation = await store.generation("g")
            assert (generation.about.complete, await generation.count()) == (True, 500)

    asyncio.run(main())


def test_compaction_goes_on_beside_reads_and_writes(place):
    rows = rows_of(unit(3000))

    async def main() -> None:
        async with place.open(CELLS, embedded={"compact_after": 100}) as store:
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.fill("g", rows[:1000], fingerprint="fp")
            await store.finished("g")
            generation = await store.generation("g")
            first = generation.held.memory.base
            for start in range(1000, 3000, 20):
                await generation.put(rows[start : start + 20], fingerprint="fp")
                await generation.delete(f"i{start - 1000:05d}", LATER)
                assert await ids(generation, rows[start].vector, 1) == [f"i{start:05d}"]
                assert f"i{start - 1000:05d}" not in await ids(generation, rows[start - 1000].vector, 5)
            await generation.compaction.ended()
            memory = generation.held.memory
            assert memory.base is not first
            assert memory.num_changes < 200
            assert memory.base.count + memory.changes.count - memory.columns.num_dead == 2900
            assert len(list((place.state / "index" / "g").glob("snapshot-*"))) == 1
            gone = {f"i{n:05d}" for n in range(0, 2000, 20)}
            there = [row for row in rows if row.item.item_id not in gone]
            found = [await ids(generation, row.vector, 10) for row in there[::50]]
            assert recall(found, [nearest(there, row.vector, 10) for row in there[::50]]) >= 0.93

    asyncio.run(main())


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "delete", "compact", "restart"]), st.integers(0, 7), st.integers(0, 3)), max_size=25
)


@given(steps=STEPS)
@settings(max_examples=30)
def test_any_sequence_of_writes_compactions_and_restarts_ends_where_a_dictionary_does(tmp_path_factory, steps: list[Step]):
    place = Place("embedded", tmp_path_factory.mktemp("index"))
    model: dict[int, tuple[int, bool]] = {}

    async def apply(generation: EmbeddedGeneration, step: Step) -> None:
        kind, number, version = step
        newest, there = model.get(number, (-1, False))
        if kind == "put":
            taken = await generation.put([row_of(number, "a", version)], fingerprint="fp")
            assert taken == (version >= newest)
        elif kind == "delete":
            assert await generation.delete(f"a{number:03d}", row_of(number, "a", version).item.updated_at) == (there and version >= newest)
        else:
            await generation.complete()
            return
        if version >= newest:
            model[number] = (version, kind == "put")

    async def check(generation: EmbeddedGeneration) -> None:
        there = {f"a{number:03d}": version for number, (version, is_there) in model.items() if is_there}
        hits = await generation.search(vector_of(0, "a", 0), 100, ALL, fingerprint="fp")
        assert {hit.item.item_id: int(hit.item.title) for hit in hits} == there
        wanted = [row_of(int(name[1:]), "a", version) for name, version in there.items()]
        assert [hit.item.item_id for hit in hits] == nearest(wanted, vector_of(0, "a", 0), 100) if wanted else not hits
        assert await generation.count() == len(there)
        assert await generation.item_ids(None, 100) == sorted(there)

    async def main() -> None:
        rest = list(steps)
        async with place.generation(dim=24):
            pass
        while True:
            async with place.open() as store:
                generation = await store.generation("g")
                await check(generation)
                while rest and rest[0][0] != "restart":
                    await apply(generation, rest.pop(0))
                await check(generation)
            if not rest:
                return
            rest.pop(0)

    asyncio.run(main())


def test_a_write_whose_caller_gave_up_is_whole_and_found_all_the_same(place):
    rows = rows_of(unit(50))

    async def main() -> None:
        async with place.generation() as (_, generation):
            task = asyncio.create_task(generation.put(rows, fingerprint="fp"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await generation.put([placed("after", rows[0].vector)], fingerprint="fp")
            assert await generation.count() == 51

    asyncio.run(main())


def test_more_work_than_there_is_room_for_is_refused_and_told_when_to_come_back(place):
    rows = rows_of(unit(300))

    async def codes(calls) -> set[str]:
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, Refused) and one.retry_after_s for one in done if isinstance(one, Exception))
        return {one.code if isinstance(one, Refused) else "done" for one in done}

    async def main() -> None:
        limits = {"max_waiting_rows": 100, "max_waiting_reads": 2, "max_changes": 250, "compact_after": 10**6}
        async with place.open(embedded=limits) as store:
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.finished("g")
            generation = await store.generation("g")
            assert await codes(generation.put(rows[start : start + 60], fingerprint="fp") for start in (0, 60, 120)) == {
                "done",
                "overloaded",
            }
            assert await codes(generation.page(None, 5) for _ in range(5)) == {"done", "overloaded"}
            assert await codes([generation.page(None, 5)]) == {"done"}
            await codes([generation.put(rows[:60], fingerprint="fp")])
            assert await codes([generation.put(rows[60:300], fingerprint="fp")]) == {"overloaded"}, "too many changes beside the base"
            assert await codes([generation.delete("i00001", LATER)]) == {"done"}, "a deletion makes room"

    asyncio.run(main())


def test_a_dear_search_leaves_the_event_loop_to_others(place):
    rows = rows_of(unit(3000, 768))

    async def main() -> None:
        async with place.generation(rows, dim=768) as (_, generation):
            search = asyncio.create_task(generation.search(rows[0].vector, 5, ALL, fingerprint="fp", exact=True))
            await asyncio.sleep(0)
            assert generation.readers.num_waiting == 1
            assert (await search)[0].item.item_id == "i00000"
            search = asyncio.create_task(generation.search(rows[0].vector, 5, ALL, fingerprint="fp"))
            await asyncio.sleep(0)
            assert generation.readers.num_waiting == 0
            assert search.done(), "a cheap search is answered at once"

    asyncio.run(main())


def test_deletions_are_forgotten_after_their_time(place):
    async def main() -> None:
        vector = unit(1)[0]
        async with place.generation([placed("a", vector)]) as (_, generation):
            await generation.delete("a", LATER)
        async with place.open(embedded={"keep_tombstones_days": 1.0}) as store:
            assert await (await store.generation("g")).put([placed("a", vector)], fingerprint="fp") == 0
        async with place.open(embedded={"keep_tombstones_days": 1e-9}) as store:
            assert await (await store.generation("g")).put([placed("a", vector)], fingerprint="fp") == 1

    asyncio.run(main())


def test_what_is_kept_is_read_by_the_settings_of_today(place):
    rows = rows_of(unit(400))

    async def main() -> None:
        async with place.open(FLAT) as store:
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.fill("g", rows, fingerprint="fp")
            await store.finished("g")
        async with place.open(CELLS) as store:
            generation = await store.generation("g")
            assert generation.held.memory.base.num_cells == 0
            await store.finished("g")
            assert generation.held.memory.base.num_cells == CELLS.num_cells
            found = [await ids(generation, row.vector, 10) for row in rows[:40]]
            assert recall(found, [nearest(rows, row.vector, 10) for row in rows[:40]]) >= 0.93

    asyncio.run(main())


def test_a_placed_vector_is_the_callers_own_to_change(place):
    async def main() -> None:
        vectors = unit(300)
        async with place.generation(rows_of(vectors)) as (_, generation):
            await generation.put([Placed(row_of(1, "a", 1).item, vectors[0].copy(), 0.5)], fingerprint="fp")
            for name in ("i00005", "a001"):
                row = await generation.get(name)
                row.vector[:] = 0
                again = await generation.get(name)
                assert np.linalg.norm(again.vector) == pytest.approx(1, abs=1e-5)

    asyncio.run(main())
