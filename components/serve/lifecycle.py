"""How a gateway comes up, takes in a new release while it answers, and goes back."""

import asyncio
import datetime as dt
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from fastapi import Request

from components.bundle import INDEX_FOLDER
from components.errors import BadBundle, VitrineError
from components.neighbours import ITEMS, NeighbourIndex
from components.serve.brought import Brought
from components.serve.gateway import Gateway
from components.serve.index.bluegreen import gate, prune
from components.serve.items import Item, Placed
from components.serve.problems import Refused
from components.serve.router import pages
from components.serve.seed import Seed
from components.serve.served import Served

log = logging.getLogger("vitrine")

FOLLOW_S = 1.0


def lifecycle_of(request: Request) -> "Lifecycle":
    """What changes the releases of the request's gateway."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


@dataclass(frozen=True)
class Kept:
    """The vectors and scores that a bundle brings, by item, with the picture that each is of."""

    rows: dict[str, tuple[str, np.ndarray, float]]

    @classmethod
    def read(cls, served: Served) -> "Kept":
        """Those of the bundle's own index. Raises BadBundle where it was made before they were kept."""
        index, table = NeighbourIndex.open(served.folder / INDEX_FOLDER), pq.read_table(served.folder / INDEX_FOLDER / ITEMS)
        if "image_id" not in table.column_names:
            raise BadBundle(f"{served.folder}: its index does not say which pictures it holds; make the bundle again with `dvc repro`")
        columns = (table[name].to_pylist() for name in ("item_id", "image_id", "image_score"))
        return cls({item: (image, index.vector_of(row), score) for row, (item, image, score) in enumerate(zip(*columns, strict=True))})

    def of(self, item: Item) -> Placed | None:
        """The item as the bundle holds it, where it shows the same picture."""
        image_id, vector, score = self.rows.get(item.item_id, ("", None, 0.0))
        return Placed(item, vector, score) if vector is not None and image_id == item.image_id else None


@dataclass
class Lifecycle:
    """What changes the releases of a gateway, one change at a time. `unknown` are those of the index whose bundle is not here."""

    gateway: Gateway
    seed: Seed | None
    unknown: set[str] = field(default_factory=set)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, wanted: str | None, brought: Brought) -> None:
        """Serves what was served last, and then `wanted`, the digest of a bundle, where it was not taken in by an earlier start: what was
        activated or gone back to since stays. Raises VitrineError where it can serve neither."""
        await self._resume()
        if wanted and await self._is_new(wanted, brought.last()):
            try:
                await self.admit(wanted)
                await self.activate(wanted)
            except VitrineError as error:
                if self.gateway.router.active is None:
                    raise
                log.warning("serve: %s was not taken in, so %s goes on: %s", wanted[:12], str(self.gateway.router.active)[:12], error)
        if self.gateway.router.active is None:
            raise BadBundle("there is no release to serve: name a bundle with --bundle")
        if wanted == self.gateway.router.active:
            brought.keep(wanted)

    async def _is_new(self, wanted: str, last: str | None) -> bool:
        """Whether no earlier start took the bundle in; `last` is the one that the last start took in."""
        active = self.gateway.router.active
        if active is None or wanted == active:
            return active is None
        if last is None:  # a replica that comes to an index which others keep
            new = wanted not in {about.release_id for about in await self.gateway.router.index.generations()}
        else:
            new = wanted != last
        if not new:
            log.warning("serve: %s goes on, which answered last; to go back to the bundle %s, activate it", active[:12], wanted[:12])
        return new

    async def _resume(self) -> None:
        gateway = self.gateway
        alias = await gateway.router.index.alias()
        if alias.active is None:
            return
        self._at("loading what was served last")
        abouts = {about.name: about for about in await gateway.router.index.generations()}
        for name in (alias.active, *alias.previous):
            if name in abouts:
                await self._try_load(abouts[name].release_id, required=name == alias.active)
        release_id = abouts[alias.active].release_id
        gateway.router.active = release_id
        await self._pass(gateway.router.of(release_id))

    async def _try_load(self, release_id: str, required: bool) -> None:
        try:
            await self.gateway.router.load(release_id)
        except VitrineError as error:
            if required:
                raise
            self.unknown.add(release_id)
            log.warning("serve: release %s is in the index, but cannot be loaded: %s", release_id[:12], error)

    async def admit(self, release_id: str) -> dict[str, Any]:
        """The gate's figures, after the release was checked and stands beside the active one. Raises Refused release_refused, BadBundle."""
        async with self.changing:
            router = self.gateway.router
            fresh = release_id not in router.served
            self._at(f"loading release {release_id[:12]}")
            served = await router.load(release_id)
            try:
                return await self._admit(served)
            except BaseException:
                if fresh and release_id != router.active:
                    await router.unload(release_id)
                raise

    async def let_in(self, release_id: str, *, gated: bool, wanted: Callable[[], bool]) -> None:
        """As admit(), but what is built stays where the release is refused, since other replicas may answer by it: unload() removes it. Of
        what answered before no gate is asked. Raises Refused release_refused too where the release is `wanted` no more."""
        async with self.changing:
            self.unknown.discard(release_id)
            self._at(f"loading release {release_id[:12]}")
            await self._admit(await self.gateway.router.load(release_id), gated=gated, wanted=wanted)

    async def unload(self, release_id: str) -> None:
        """Takes a release that is not active out of service, with its generation, which another replica may have dropped."""
        async with self.changing:
            try:
                await self.gateway.router.unload(release_id)
            except Refused as refused:
                if refused.code != "release_unknown":
                    raise

    async def _admit(self, served: Served, *, gated: bool = True, wanted: Callable[[], bool] = lambda: True) -> dict[str, Any]:
        router = self.gateway.router
        if not served.generation.about.complete:  # as it was when it was opened: another replica may have completed it
            served.generation = await router.index.generation(served.generation.about.name)
        if not served.generation.about.complete:
            self._at(f"building the index of release {served.release_id[:12]}")
            await self._build(served, wanted)
        elif router.active:
            await router.catch_up(served, self.gateway.catalogue.place)
        passed = await self.gateway.check(served)
        if not passed:
            raise Refused("release_refused", f"release {served.release_id[:12]}: {'; '.join(passed.reasons)}")
        if not gated or router.active in (None, served.release_id):
            return {}
        verdict = await gate(served.generation, router.of().generation, self.gateway.cfg.index)
        if verdict.reasons:
            raise Refused("release_refused", f"release {served.release_id[:12]}: {'; '.join(verdict.reasons)}")
        return dict(verdict.figures)

    async def _build(self, served: Served, wanted: Callable[[], bool]) -> None:
        gateway, kept = self.gateway, await asyncio.to_thread(Kept.read, served)

        async def place(release: Served, item: Item) -> Placed | None:
            if not wanted():
                raise Refused("release_refused", f"release {release.release_id[:12]} is wanted no more")
            return kept.of(item) or await gateway.catalogue.place(release, item)

        if gateway.router.active:
            lost = await gateway.router.build(served, pages(gateway.router.of().generation), place)
            await gateway.router.catch_up(served, place)
        elif self.seed:
            self.seed.check()
            self._at("copying the catalogue")
            await asyncio.to_thread(self.seed.copy, gateway.asking.photos.store, dt.datetime.now(dt.UTC))
            lost = await gateway.router.build(served, _in_pages(self.seed), place)
        else:
            raise BadBundle("a new gateway begins with a catalogue: name the tables with --listings and --images")
        if lost:
            log.warning("serve: %d items could not be placed by release %s: their pictures are lost or bad", lost, served.release_id[:12])

    async def activate(self, release_id: str) -> None:
        """The release answers, after it gave its golden answers once more. Raises Refused."""
        async with self.changing:
            served = self.gateway.router.of(release_id)
            if self.gateway.router.active:
                await self.gateway.router.catch_up(served, self.gateway.catalogue.place)
            await self._pass(served)
            await self.gateway.router.activate(release_id)
            log.info("serve: release %s answers", release_id[:12])
            await self._let_go()

    async def _let_go(self) -> None:
        """Drops generations that nobody will go back to, and closes their releases."""
        router = self.gateway.router
        for name in await prune(router.index, self.gateway.cfg.index.keep_generations):
            for served in [s for s in router.served.values() if s.generation.about.name == name]:
                await router.forget(served.release_id)

    async def rollback(self) -> str:
        """The release that answers again: the one before."""
        async with self.changing:
            release_id = await self.gateway.router.rollback()
            log.warning("serve: back to release %s", release_id[:12])
            return release_id

    async def _pass(self, served: Served) -> None:
        self._at(f"checking release {served.release_id[:12]}")
        passed = await self.gateway.check(served)
        if not passed:
            raise Refused("release_refused", f"release {served.release_id[:12]}: {'; '.join(passed.reasons)}")
        self.gateway.passed = passed
        self.gateway.meters.ready.set(1)

    def _at(self, step: str) -> None:
        self.gateway.step = step
        log.info("serve: %s", step)

    async def follow(self) -> None:
        """Does what other replicas do, for as long as the gateway runs: loads what they load, answers with what they activate."""
        router = self.gateway.router
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                async with self.changing:
                    await self._follow(router.index)
            except VitrineError as error:
                log.warning("serve: the index's alias could not be followed: %s", error)
            except Exception:  # the next second tries again
                log.exception("serve: the index's alias could not be followed")

    async def _follow(self, index: Any) -> None:
        router, alias = self.gateway.router, await index.alias()
        abouts = {about.name: about for about in await index.generations()}
        for about in abouts.values():  # those that are being built too: a write must reach them
            if about.release_id not in router.served and about.release_id not in self.unknown:
                await self._try_load(about.release_id, required=False)
        for served in [s for s in router.served.values() if s.generation.about.name not in abouts]:
            await router.forget(served.release_id)
        if alias.active in abouts and abouts[alias.active].release_id in router.served:
            router.active = abouts[alias.active].release_id
        for release_id in list(router.behind):
            await router.catch_up(router.of(release_id), self.gateway.catalogue.place)
            router.behind.discard(release_id)


async def _in_pages(seed: Seed, size: int = 500) -> AsyncIterator[Sequence[Item]]:
    rows = seed.items()
    while some := await asyncio.to_thread(lambda: list(itertools.islice(rows, size))):
        yield some
