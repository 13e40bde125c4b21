"""What both index backends do alike."""

import asyncio
import dataclasses
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from components.serve.index.generation import Alias, Generation
from components.serve.items import Filters, Placed
from components.serve.problems import Refused
from tests.serve.index_stores import CELLS, DIM, FLAT, T0, Place, either, item, nearest, placed, recall, rows_of, unit

ALL = Filters()
LATER, EARLIER = T0 + dt.timedelta(seconds=1), T0 - dt.timedelta(seconds=1)


@pytest.fixture(params=["embedded", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with either(request, tmp_path, monkeypatch) as place:
        yield place


async def ids(generation: Generation, query: np.ndarray, k: int, filters: Filters = ALL, *, exact: bool = False) -> list[str]:
    return [hit.item.item_id for hit in await generation.search(query, k, filters, fingerprint="fp", exact=exact)]


async def refused(call) -> str:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code


def same(row: Placed | None, wanted: Placed) -> bool:
    """Equal in every field; vectors to what 16 bits a value keep."""
    assert row is not None
    np.testing.assert_allclose(row.vector, wanted.vector, atol=2e-3)
    assert row.vector.dtype == np.float32
    assert abs(float(np.linalg.norm(row.vector)) - 1) < 1e-3
    assert row.image_score == pytest.approx(wanted.image_score, abs=1e-6)
    assert row.item == wanted.item
    return True


def test_an_item_that_was_put_is_got_and_found_as_it_was(place):
    full = item(
        "品-1",
        title="靴 \U0001f45f, \"quoted\" 'n' {braces} %s",
        category=("食品", "果物, 野菜", "a/b", "{}", "%"),
        price=0.1 + 0.2,
        description="two\nlines\\n",
        product_id=None,
        app_version="1.2.3",
        created_at=dt.datetime(2020, 2, 29, 12, 34, 56, 789012, tzinfo=dt.timezone(dt.timedelta(hours=9))),
        updated_at=dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
        stats={"brightness": 0.25, "sharpness": -1.5},
    )
    bare = dataclasses.replace(item("bare"), seller_id=None, stats=None, width=0, height=0, category=())
    vectors = unit(2)

    async def main() -> None:
        async with place.generation() as (_, generation):
            rows = [Placed(full, vectors[0], 1.0), Placed(bare, vectors[1], 0.0)]
            assert await generation.put(rows, fingerprint="fp") == 2
            assert same(await generation.get("品-1"), rows[0])
            assert same(await generation.get("bare"), rows[1])
            assert await generation.get("nobody") is None
            hits = await generation.search(vectors[0], 5, ALL, fingerprint="fp")
            assert [hit.item.item_id for hit in hits] == ["品-1", "bare"]
            assert hits[0].item == full
            assert hits[0].cosine == pytest.approx(1, abs=1e-3)
            assert hits[1].cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-3)
            assert hits[0].image_score == 1.0
            assert await ids(generation, vectors[0], 5, Filters(category=("食品", "果物, 野菜"))) == ["品-1"]

    asyncio.run(main())


def test_the_newest_version_stays_whatever_the_order_of_writes(place):
    vectors = unit(3)

    async def main() -> None:
        async with place.generation() as (_, generation):
            assert await generation.put([placed("a", vectors[0], title="now")], fingerprint="fp") == 1
            assert await generation.put([placed("a", vectors[1], title="old", updated_at=EARLIER)], fingerprint="fp") == 0
            assert (await generation.get("a")).item.title == "now"
            assert await generation.put([placed("a", vectors[1], title="same time, later write")], fingerprint="fp") == 1
            assert (await generation.get("a")).item.title == "same time, later write"
            assert await generation.put([placed("a", vectors[2], title="new", updated_at=LATER)], fingerprint="fp") == 1
            both = [placed("b", vectors[0], title="one"), placed("b", vectors[1], title="two")]
            assert await generation.put(both, fingerprint="fp") == 2
            assert (await generation.get("b")).item.title == "two"
            assert await generation.count() == 2
            hits = await generation.search(vectors[2], 9, ALL, fingerprint="fp")
            assert [(hit.item.item_id, hit.item.title) for hit in hits if hit.item.item_id == "a"] == [("a", "new")]

    asyncio.run(main())


def test_a_deletion_beats_older_versions_that_come_later(place):
    vector = unit(1)[0]

    async def main() -> None:
        async with place.generation([placed("a", vector), placed("b", vector)]) as (store, generation):
            assert not await generation.delete("a", EARLIER), "the item is newer than the deletion"
            assert await generation.get("a") is not None
            assert await generation.delete("a", T0)
            assert not await generation.delete("a", LATER), "it is gone already"
            assert await generation.get("a") is None
            assert await ids(generation, vector, 5) == ["b"]
            assert await generation.put([placed("a", vector)], fingerprint="fp") == 0
            assert await store.fill("g", [placed("a", vector)], fingerprint="fp") == 0
            assert not await generation.delete("never there", LATER)
            assert await generation.put([placed("never there", vector)], fingerprint="fp") == 0
            assert await generation.count() == 1
            assert await generation.put([placed("a", vector, updated_at=LATER)], fingerprint="fp") == 1, "not older than the deletion"
            assert sorted(await ids(generation, vector, 5)) == ["a", "b"]

    asyncio.run(main())


def test_a_fill_leaves_what_is_as_new_and_replaces_what_is_older(place):
    vector = unit(1)[0]

    async def main() -> None:
        async with place.open() as store:
            generation = await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            old, new = placed("old", vector, title="put", updated_at=EARLIER), placed("same", vector, title="put")
            assert await generation.put([old, new], fingerprint="fp") == 2
            await generation.delete("gone", T0)
            filled = [placed(name, vector, title="filled") for name in ("old", "same", "gone", "fresh")]
            assert await store.fill("g", filled, fingerprint="fp") == 2
            titles = {name: (await generation.get(name)).item.title for name in ("old", "same", "fresh")}
            assert titles == {"old": "filled", "same": "put", "fresh": "filled"}
            assert await generation.get("gone") is None
            await store.finished("g")
            assert await (await store.generation("g")).count() == 3

    asyncio.run(main())


def test_puts_and_deletions_during_a_fill_win_over_the_older_rows_that_are_filled(place):
    rows = rows_of(unit(1200))

    async def main() -> None:
        async with place.open(postgres={"max_waiting": 500}) as store:
            generation = await store.create("g", release_id="r", fingerprint="fp", dim=DIM)

            async def write(row: Placed, turn: int) -> None:
                await asyncio.sleep(0)
                if turn % 3:
                    newer = dataclasses.replace(row.item, title="put", updated_at=LATER)
                    await generation.put([Placed(newer, row.vector, 0.9)], fingerprint="fp")
                else:
                    await generation.delete(row.item.item_id, LATER)

            fills = [store.fill("g", rows[start : start + 100], fingerprint="fp") for start in range(0, 1200, 100)]
            writes = [write(row, turn) for turn, row in enumerate(rows[::20])]
            await asyncio.gather(*(call for pair in zip(fills, _in_groups(writes, 12), strict=True) for call in pair))
            await store.finished("g")
            generation = await store.generation("g")
            for turn, row in enumerate(rows[::20]):
                found = await generation.get(row.item.item_id)
                assert (found.item.title == "put") if turn % 3 else (found is None), row.item.item_id
            assert await generation.count() == 1200 - 20

    asyncio.run(main())


def _in_groups(calls, num_groups):
    async def group(some):
        await asyncio.gather(*some)

    return [group(calls[n::num_groups]) for n in range(num_groups)]


@pytest.mark.parametrize("index", [FLAT, CELLS], ids=["flat", "cells"])
@pytest.mark.parametrize("late", [0, 300], ids=["all built", "some written later"])
def test_what_filters_leave_is_found_as_a_full_comparison_finds_it(place, index, late):
    if place.backend == "postgres" and index is FLAT:
        pytest.skip("its index is one graph, whatever index: says")
    vectors = unit(2000)
    rows, queries = rows_of(vectors), unit(40, seed=1)
    cases = {
        "none": Filters(),
        "path": Filters(category=("fashion",)),
        "deeper path": Filters(category=("fashion", "shoes")),
        "leaf": Filters(category=("fashion", "shoes", "boots")),
        "commas and Japanese": Filters(category=("食品", "果物, 野菜")),
        "quotes": Filters(category=("o'clock", 'say "hi"')),
        "price": Filters(min_price=100, max_price=199),
        "one price": Filters(min_price=77, max_price=77),
        "status": Filters(status=frozenset({"sold"})),
        "statuses": Filters(status=frozenset({"sold", "on_sale", "unheard of"})),
        "together": Filters(category=("fashion",), max_price=300, status=frozenset({"on_sale"})),
        "no such path": Filters(category=("shoes",)),
        "part of a name": Filters(category=("fash",)),
        "no such price": Filters(min_price=5, max_price=4),
    }

    async def main() -> None:
        async with place.open(index) as store:
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.fill("g", rows[late:], fingerprint="fp")
            await store.finished("g")
            generation = await store.generation("g")
            if late:
                await generation.put(rows[:late], fingerprint="fp")
            for name, filters in cases.items():
                admitted = [row for row in rows if filters.admit(row.item)]
                for exact in (True, False):
                    found = [await ids(generation, query, 10, filters, exact=exact) for query in queries]
                    wanted = [nearest(admitted, query, 10) for query in queries]
                    assert {id for some in found for id in some} <= {row.item.item_id for row in admitted}, name
                    assert list(map(len, found)) == list(map(len, wanted)), name
                    assert recall(found, wanted) >= (0.995 if exact else 0.93), (name, exact)

    asyncio.run(main())


def test_a_filter_far_from_the_query_is_searched_where_its_items_are(place):
    rng = np.random.default_rng(3)
    vectors = unit(3000)
    far = np.argsort(vectors @ vectors[0])[:150]  # the filter leaves only what is least like the query
    rows = [placed(f"i{n:05d}", vector, category=("far",) if n in set(far) else ("near",)) for n, vector in enumerate(vectors)]
    queries = vectors[0] + 0.05 * rng.normal(size=(20, DIM)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)

    async def main() -> None:
        async with place.generation(rows) as (_, generation):
            filters = Filters(category=("far",))
            found = [await ids(generation, query, 10, filters) for query in queries]
            wanted = [nearest([rows[n] for n in far], query, 10) for query in queries]
            assert all(len(some) == 10 for some in found)
            assert recall(found, wanted) >= 0.9

    asyncio.run(main())


def test_answers_hold_what_there_is_and_no_more(place):
    vectors = unit(5)
    rows = [placed(f"i{n}", vector) for n, vector in enumerate(vectors)]

    async def main() -> None:
        async with place.generation() as (_, generation):
            assert await ids(generation, vectors[0], 10) == []
            assert await ids(generation, vectors[0], 10, Filters(category=("fashion",)), exact=True) == []
            assert await generation.count() == 0
            assert await generation.page(None, 10) == []
            assert await generation.sample(3, seed=0) == []
            assert len(await generation.score_quantiles()) == 0
            await generation.put(rows, fingerprint="fp")
            assert sorted(await ids(generation, vectors[0], 1000)) == [f"i{n}" for n in range(5)]
            assert len(await ids(generation, vectors[0], 3)) == 3
            for n in range(1, 5):
                await generation.delete(f"i{n}", LATER)
            assert await ids(generation, vectors[0], 10) == ["i0"]
            moved = [placed("i0", vectors[3], updated_at=LATER)]
            assert await generation.put(moved, fingerprint="fp") == 1
            (hit,) = await generation.search(vectors[3], 10, ALL, fingerprint="fp")
            assert hit.cosine == pytest.approx(1, abs=1e-3)
            await generation.delete("i0", LATER + dt.timedelta(days=1))
            assert await ids(generation, vectors[0], 10) == []

    asyncio.run(main())


def test_equal_cosines_come_in_the_order_of_item_id(place):
    vector = unit(1)[0]

    async def main() -> None:
        async with place.generation([placed(name, vector) for name in ("c", "a", "b")]) as (_, generation):
            assert await ids(generation, vector, 5) == ["a", "b", "c"]

    asyncio.run(main())


def test_another_fingerprint_is_refused_on_every_read_and_write(place):
    vector = unit(1)[0]

    async def main() -> None:
        async with place.generation([placed("a", vector)]) as (store, generation):
            calls = [
                generation.search(vector, 3, ALL, fingerprint="other"),
                generation.search(vector, 3, ALL, fingerprint="", exact=True),
                generation.put([placed("b", vector)], fingerprint="other"),
                generation.put([], fingerprint="other"),
                store.fill("g", [placed("b", vector)], fingerprint="other"),
            ]
            assert [await refused(call) for call in calls] == ["fingerprint_mismatch"] * 5
            assert await generation.count() == 1

    asyncio.run(main())


BAD_ITEMS: dict[str, dict[str, object]] = {
    "NUL in an id": {"item_id": "a\0b"},
    "an empty id": {"item_id": ""},
    "a long id": {"item_id": "x" * 1001},
    "NUL in a title": {"title": "\0"},
    "half a surrogate pair": {"title": "\ud800"},
    "NUL in a category": {"category": ("a", "b\0")},
    "an empty category": {"category": ("a", "")},
    "NUL in a seller": {"seller_id": "\0"},
    "no title": {"title": None},
    "price NaN": {"price": float("nan")},
    "price infinite": {"price": float("inf")},
    "no time zone": {"updated_at": dt.datetime(2026, 1, 1)},
    "no such time in UTC": {"created_at": dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=9)))},
    "statistics NaN": {"stats": {"brightness": float("nan")}},
    "NUL in statistics": {"stats": {"\0": 1.0}},
    "width below 0": {"width": -1},
    "height over what an integer holds": {"height": 2**31},
}


def test_what_cannot_be_kept_is_refused_whole_and_harms_nothing(place):
    good, vector = unit(2)
    bad_vectors = {
        "NaN": np.full(DIM, np.nan, np.float32),
        "infinite": np.r_[np.inf, np.zeros(DIM - 1)].astype(np.float32),
        "zero": np.zeros(DIM, np.float32),
        "length 2": 2 * vector,
        "length .99": 0.99 * vector,
        "too narrow": unit(1, DIM - 1)[0],
        "too wide": unit(1, DIM + 1)[0],
        "a matrix": vector[None],
        "no array": "vector",
        "empty": np.empty(0, np.float32),
    }

    async def main() -> None:
        async with place.generation([placed("kept", good)]) as (store, generation):
            for name, changes in BAD_ITEMS.items():
                rows = [placed("fine", vector), Placed(dataclasses.replace(item("bad"), **changes), vector, 0.5)]
                assert await refused(generation.put(rows, fingerprint="fp")) == "invalid", name
                assert await refused(store.fill("g", rows, fingerprint="fp")) == "invalid", name
            for name, bad in bad_vectors.items():
                assert await refused(generation.put([placed("bad", bad)], fingerprint="fp")) == "invalid", name
                if name != "a matrix":
                    assert await refused(generation.search(bad, 3, ALL, fingerprint="fp")) == "invalid", name
            for score in (-0.01, 1.01, float("nan")):
                assert await refused(generation.put([placed("bad", vector, score=score)], fingerprint="fp")) == "invalid"
            for filters in (Filters(category=("\0",)), Filters(status=frozenset({"\ud800"})), Filters(min_price=float("nan"))):
                assert await refused(generation.search(vector, 3, filters, fingerprint="fp")) == "invalid"
            for call in (generation.get("\0"), generation.delete("\0", T0), generation.page("\0", 3), generation.item_ids("\ud800", 3)):
                assert await refused(call) == "invalid"
            assert await refused(generation.delete("kept", dt.datetime(2026, 1, 1))) == "invalid"
            assert await refused(generation.search(vector, 0, ALL, fingerprint="fp")) == "invalid"
            assert await ids(generation, good, 5) == ["kept"]
            assert await ids(generation, good, 5, Filters(min_price=float("-inf"), max_price=float("inf"))) == ["kept"]

    asyncio.run(main())


def test_pages_hold_every_item_once_in_order_of_code_points(place):
    names = ["a", "B", "b", "Ä", "ä", "é", "漢", "𠀋", "~", "a b", "a-b", "Z", "10", "9"] + [f"i{n:03d}" for n in range(200)]
    rows = [placed(name, vector, score=0.25) for name, vector in zip(names, unit(len(names)), strict=True)]

    async def main() -> None:
        async with place.generation(rows) as (_, generation):
            await generation.delete("b", LATER)
            found, after = [], None
            while page := await generation.page(after, 7):
                assert len(page) <= 7
                found += page
                after = page[-1].item.item_id
            wanted = sorted(set(names) - {"b"})
            assert [row.item.item_id for row in found] == wanted
            assert await generation.item_ids(None, 1000) == wanted
            assert await generation.item_ids("é", 2) == wanted[wanted.index("é") + 1 :][:2]
            by_id = {row.item.item_id: row for row in rows}
            assert all(same(row, by_id[row.item.item_id]) for row in found)

    asyncio.run(main())


def test_a_sample_is_drawn_by_its_seed_and_the_percentiles_are_those_of_the_scores(place):
    rows = rows_of(unit(404))

    async def main() -> None:
        async with place.generation(rows) as (_, generation):
            drawn = {seed: [row.item.item_id for row in await generation.sample(50, seed)] for seed in (0, 1)}
            assert len(set(drawn[0])) == 50
            assert drawn[0] != drawn[1]
            assert drawn[0] == [row.item.item_id for row in await generation.sample(50, 0)]
            assert len(await generation.sample(10**6, 0)) == 404
            quantiles = await generation.score_quantiles()
            np.testing.assert_allclose(quantiles, np.percentile([row.image_score for row in rows], np.arange(101)), atol=1e-6)

    asyncio.run(main())


def test_a_restart_keeps_generations_items_deletions_and_the_alias(place):
    rows = rows_of(unit(600))

    async def first() -> None:
        async with place.open() as store:
            for name in ("old", "new"):
                await store.create(name, release_id=name, fingerprint="fp", dim=DIM)
                await store.fill(name, rows[:500], fingerprint="fp")
                await store.finished(name)
                await store.switch(name, version=(await store.alias()).version)
            generation = await store.generation("new")
            await generation.put(rows[500:], fingerprint="fp")
            await generation.delete("i00001", LATER)
            await generation.put([placed("i00002", rows[7].vector, title="moved", updated_at=LATER)], fingerprint="fp")
            await store.create("unfinished", release_id="u", fingerprint="f2", dim=8)

    async def second() -> None:
        async with place.open() as store:
            abouts = await store.generations()
            assert [(about.name, about.complete) for about in abouts] == [("old", True), ("new", True), ("unfinished", False)]
            assert [(about.fingerprint, about.dim, about.release_id) for about in abouts[1:]] == [("fp", DIM, "new"), ("f2", 8, "u")]
            assert await store.alias() == Alias("new", ("old",), 2)
            generation = await store.generation("new")
            assert await generation.count() == 599
            assert await generation.get("i00001") is None
            assert same(await generation.get("i00550"), rows[550])
            assert await generation.put([rows[1]], fingerprint="fp") == 0, "the deletion is remembered"
            assert set(await ids(generation, rows[7].vector, 2)) == {"i00002", "i00007"}
            there = [row for n, row in enumerate(rows) if n not in (1, 2)]
            found = [[i for i in await ids(generation, row.vector, 11) if i != "i00002"][:10] for row in rows[100:130]]
            assert recall(found, [nearest(there, row.vector, 10) for row in rows[100:130]]) >= 0.93
            assert await (await store.generation("old")).count() == 500

    asyncio.run(first())
    asyncio.run(second())


def test_the_alias_moves_by_version_and_only_to_what_is_complete(place):
    async def main() -> None:
        async with place.open() as store:
            assert await store.alias() == Alias(None, (), 0)
            assert await refused(store.rollback()) == "nothing_to_roll_back"
            for name in ("one", "two", "three"):
                await store.create(name, release_id=name, fingerprint="fp", dim=DIM)
            assert await refused(store.create("two", release_id="x", fingerprint="fp", dim=DIM)) == "release_refused"
            assert await refused(store.switch("one", version=0)) == "release_refused", "not complete"
            assert await refused(store.switch("nobody", version=0)) == "release_unknown"
            for name in ("one", "two", "three"):
                await store.finished(name)
            assert await store.switch("one", version=0) == Alias("one", (), 1)
            assert await refused(store.switch("two", version=0)) == "release_refused", "another version"
            assert await store.switch("two", version=1) == Alias("two", ("one",), 2)
            assert await store.switch("three", version=2) == Alias("three", ("two", "one"), 3)
            assert await refused(store.drop("three")) == "release_refused", "it answers"
            assert await store.rollback() == Alias("two", ("one",), 4)
            assert await store.switch("one", version=4) == Alias("one", ("two",), 5)
            await store.drop("two")
            assert await store.alias() == Alias("one", (), 6)
            assert await refused(store.rollback()) == "nothing_to_roll_back"
            assert await refused(store.generation("two")) == "release_unknown"
            assert await refused(store.drop("two")) == "release_unknown"
            assert [about.name for about in await store.generations()] == ["one", "three"]

    asyncio.run(main())


@pytest.mark.parametrize("name", ["", "A", "../up", "a b", 'a"b', "x" * 49, "a;drop", "é", "-a", "a\n", "a\0"])
def test_a_generation_has_a_plain_name(place, name):
    async def main() -> None:
        async with place.open() as store:
            assert await refused(store.create(name, release_id="r", fingerprint="fp", dim=DIM)) == "invalid"
            assert await store.generations() == []

    asyncio.run(main())


def test_a_dropped_generation_refuses_and_its_name_is_free_for_another_space(place):
    vector = unit(1)[0]

    async def main() -> None:
        async with place.generation([placed("a", vector)]) as (store, before):
            await store.drop("g")
            assert await refused(before.put([placed("b", vector)], fingerprint="fp")) == "release_unknown"
            await store.create("g", release_id="r", fingerprint="other", dim=4)
            assert await refused(before.put([placed("b", vector)], fingerprint="fp")) == "release_unknown"
            await store.finished("g")
            generation = await store.generation("g")
            assert (generation.about.fingerprint, generation.about.dim, await generation.count()) == ("other", 4, 0)

    asyncio.run(main())


def test_going_back_takes_less_than_a_second_with_20000_items(place):
    rows = rows_of(unit(20000))

    async def build() -> None:
        async with place.open() as store:
            for name in ("blue", "green"):
                await store.create(name, release_id=name, fingerprint="fp", dim=DIM)
                for start in range(0, len(rows), 2000):
                    await store.fill(name, rows[start : start + 2000], fingerprint="fp")
                await store.finished(name)
                await store.switch(name, version=(await store.alias()).version)
            await go_back(store, at_most_s=1.0)

    async def go_back(store, at_most_s: float) -> None:
        started = time.monotonic()
        alias = await store.rollback()
        generation = await store.generation(alias.active)
        assert await ids(generation, rows[5].vector, 1) == ["i00005"]
        seconds = time.monotonic() - started
        assert alias.active == "blue"
        assert seconds < at_most_s, seconds

    asyncio.run(build())


def test_two_items_at_once_and_many_writers_lose_nothing(place):
    vectors = unit(300)

    async def main() -> None:
        async with place.generation() as (_, generation):

            async def write(n: int) -> int:
                pair = [placed(f"i{n:03d}", vectors[n]), placed(f"i{(n + 150) % 300:03d}", vectors[n])]
                return await generation.put(pair if n % 2 else pair[::-1], fingerprint="fp")

            for start in range(0, 300, 50):
                assert sum(await asyncio.gather(*(write(n) for n in range(start, start + 50)))) == 100
            assert await generation.count() == 300

    asyncio.run(main())
