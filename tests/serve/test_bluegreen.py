"""A new generation from its first row to the day it is let go, in both backends."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from components.serve.index.bluegreen import build, gate, missing_share, prune
from components.serve.index.generation import Alias, IndexStore
from components.serve.items import Placed
from components.serve.problems import Refused
from tests.serve.index_stores import DIM, T0, Place, either, index_config, placed, rows_of, unit

LATER = T0 + dt.timedelta(seconds=1)
CFG = index_config({"gate": {"num_queries": 50, "min_overlap_at_10": 0.3, "max_latency_ratio": 50.0, "max_p95_ms": 5000.0}})
IDENTITY = {"release_id": "r", "fingerprint": "fp", "dim": DIM}


@pytest.fixture(params=["embedded", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with either(request, tmp_path, monkeypatch) as place:
        yield place


async def in_pages(rows: list[Placed], size: int = 100) -> AsyncIterator[list[Placed]]:
    for start in range(0, len(rows), size):
        await asyncio.sleep(0)
        yield rows[start : start + size]


async def generation_of(store: IndexStore, name: str, rows: list[Placed]):
    return await build(store, name, in_pages(rows), **IDENTITY)


def test_a_candidate_of_the_same_items_passes_and_its_figures_are_told(place):
    rows = rows_of(unit(800))

    async def main() -> None:
        async with place.open() as store:
            live, candidate = await generation_of(store, "live", rows), await generation_of(store, "candidate", rows)
            verdict = await gate(
                candidate, live, index_config({"gate": {"num_queries": 50, "max_latency_ratio": 50.0, "max_p95_ms": 5000.0}})
            )
            assert verdict.passed, verdict.reasons
            assert verdict.figures["num_items"] == 800
            assert verdict.figures["num_queries"] == 50
            assert verdict.figures["missing_share"] == 0
            assert verdict.figures["recall_at_10"] >= 0.95
            assert verdict.figures["overlap_at_10"] >= 0.9
            assert verdict.figures["median_ms"] <= verdict.figures["p95_ms"]

    asyncio.run(main())


def test_a_candidate_that_lacks_items_or_finds_other_neighbours_is_refused_with_reasons(place):
    rows = rows_of(unit(600))
    elsewhere = [Placed(row.item, vector, row.image_score) for row, vector in zip(rows, unit(600, seed=9), strict=True)]

    async def main() -> None:
        async with place.open() as store:
            live = await generation_of(store, "live", rows)
            lacking = await generation_of(store, "lacking", [*rows[60:], placed("new", rows[0].vector)])
            assert (await gate(lacking, live, CFG)).reasons == ("missing_share 0.1 > 0.01",)
            moved = await generation_of(store, "moved", elsewhere)
            (reason,) = (await gate(moved, live, CFG)).reasons
            assert reason.startswith("overlap_at_10 0.")
            empty = await generation_of(store, "empty", [])
            assert (await gate(empty, live, CFG)).reasons == ("num_items 0: the candidate is empty",)
            assert (await gate(moved, None, CFG)).passed
            assert (await gate(moved, empty, CFG)).passed
            assert await missing_share(live, empty) is None
            assert await missing_share(empty, live) == 1

    asyncio.run(main())


def test_writes_to_both_generations_during_a_build_win_over_the_rows_that_are_copied(place):
    rows = rows_of(unit(1000))

    async def main() -> None:
        async with place.open() as store:
            live = await generation_of(store, "live", rows)
            candidate = await store.create("candidate", **IDENTITY)
            rng, moved, gone = np.random.default_rng(0), set(), set()

            async def copied() -> AsyncIterator[list[Placed]]:
                after = None
                while page := await live.page(after, 50):
                    await asyncio.sleep(0.001)  # the page grows old before it is filled
                    yield page
                    after = page[-1].item.item_id

            async def shop() -> None:
                for n in rng.permutation(1000)[:150]:
                    row = rows[n]
                    newer = Placed(dataclasses.replace(row.item, title="moved", updated_at=LATER), row.vector, 0.9)
                    for generation in (live, candidate):
                        if n % 3:
                            await generation.put([newer], fingerprint="fp")
                        else:
                            await generation.delete(row.item.item_id, LATER)
                    (moved if n % 3 else gone).add(row.item.item_id)

            await asyncio.gather(build(store, "candidate", copied(), **IDENTITY), shop())
            candidate = await store.generation("candidate")
            assert await candidate.count() == 1000 - len(gone)
            for name in moved:
                assert (await candidate.get(name)).item.title == "moved"
            for name in gone:
                assert await candidate.get(name) is None
            assert await missing_share(candidate, live) == 0

    asyncio.run(main())


def test_a_build_that_was_cut_off_goes_on_and_one_that_is_done_is_not_done_again(place):
    rows = rows_of(unit(300))

    async def cut_off() -> AsyncIterator[list[Placed]]:
        yield rows[:100]
        raise ConnectionError

    async def main() -> None:
        async with place.open() as store:
            with pytest.raises(ConnectionError):
                await build(store, "g", cut_off(), **IDENTITY)
        async with place.open() as store:
            assert not (await store.generation("g")).about.complete
            with pytest.raises(Refused, match="another release"):
                await build(store, "g", in_pages(rows), **IDENTITY | {"fingerprint": "other"})
            generation = await build(store, "g", in_pages(rows), **IDENTITY)
            assert generation.about.complete
            assert await generation.count() == 300
            with pytest.raises(Refused, match="complete already"):
                await build(store, "g", in_pages(rows), **IDENTITY)

    asyncio.run(main())


def test_the_last_generations_stay_and_older_ones_go(place):
    async def main() -> None:
        async with place.open() as store:
            assert await prune(store, 2) == []
            for name in ("one", "two", "three", "failed", "four", "five"):
                await generation_of(store, name, [])
                if name != "failed":
                    await store.switch(name, version=(await store.alias()).version)
            await store.create("next", **IDENTITY)
            assert sorted(await prune(store, 2)) == ["failed", "one", "two"]
            assert await store.alias() == Alias("five", ("four", "three"), 7)
            assert [about.name for about in await store.generations()] == ["three", "four", "five", "next"]
            assert await prune(store, 2) == []
            assert (await store.rollback()).active == "four"
            assert await prune(store, 1) == [], "what was rolled back from may be looked at"
            assert await prune(store, 0) == ["three"]

    asyncio.run(main())
