"""Which releases are in service: loading, building beside, switching and going back. A request that began with one release ends with it."""

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components import releases
from components.errors import BadBundle, VitrineError
from components.manifest import verified_manifest
from components.serve.index import bluegreen
from components.serve.index.generation import Generation, IndexStore
from components.serve.inference.backend import Inference
from components.serve.items import Item, Placed
from components.serve.problems import Refused
from components.serve.served import Golden, Served

log = logging.getLogger("vitrine")

PAGE = 500
AT_ONCE = 16  # items that a new release is given beside each other, so that they share batches with the requests that go on

Place = Callable[[Served, Item], Awaitable[Placed | None]]


@dataclass
class Router:
    """Every loaded release by its digest; `active` answers whoever names none. `behind` are those that missed a write and must catch up."""

    index: IndexStore
    folder: Path
    open_inference: Callable[[Path], Awaitable[Inference]]
    served: dict[str, Served] = field(default_factory=dict)
    active: str | None = None
    behind: set[str] = field(default_factory=set)

    def of(self, release_id: str | None = None, fingerprint: str | None = None) -> Served:
        """The release asked for, or the active one. Raises Refused release_unknown, not_ready, or fingerprint_mismatch."""
        wanted = release_id or self.active
        if wanted is None:
            raise Refused("not_ready", "no release is loaded yet", retry_after_s=5)
        found = self.served.get(wanted)
        if found is None:
            raise Refused("release_unknown", f"release {wanted[:12]} is not loaded here; GET /v1/releases lists those that are")
        if fingerprint is not None and fingerprint != found.fingerprint:
            raise Refused("fingerprint_mismatch", f"release {wanted[:12]} has the fingerprint {found.fingerprint}, not {fingerprint[:64]}")
        return found

    async def load(self, release_id: str) -> Served:
        """The release with its towers open and its generation opened or made; from here on it takes every write. Raises BadBundle."""
        if release_id in self.served:
            return self.served[release_id]
        folder = await asyncio.to_thread(releases.find, release_id, self.folder)
        assert folder is not None
        manifest = await asyncio.to_thread(verified_manifest, folder)
        inference = await self.open_inference(folder)
        if manifest["fingerprint"] != inference.serving.fingerprint:
            await inference.close()
            raise BadBundle(f"{folder} mixes vector spaces: {manifest['fingerprint']} in its manifest, another in its towers")
        generation = await self._generation(release_id, inference)
        golden = await asyncio.to_thread(Golden.read, folder)
        self.served[release_id] = Served(release_id, folder, manifest, inference, generation, golden)
        return self.served[release_id]

    async def _generation(self, release_id: str, inference: Inference) -> Generation:
        name = name_of(release_id)
        if any(about.name == name for about in await self.index.generations()):
            return await self.index.generation(name)
        serving = inference.serving
        return await self.index.create(name, release_id=release_id, fingerprint=serving.fingerprint, dim=serving.dim)

    async def build(self, served: Served, items: AsyncIterator[Sequence[Item]], place: Place) -> int:
        """How many items could not be placed, after the generation holds all the others and is complete."""
        lost = 0

        async def rows() -> AsyncIterator[list[Placed]]:
            nonlocal lost
            async for some in items:
                placed = await _all_placed(place, served, some)
                lost += placed.count(None)
                yield [row for row in placed if row is not None]

        about = served.generation.about
        served.generation = await bluegreen.build(
            self.index, about.name, rows(), release_id=served.release_id, fingerprint=served.fingerprint, dim=about.dim
        )
        return lost

    async def catch_up(self, served: Served, place: Place) -> int:
        """How many items of the active generation the release lacked, or had in an older version, and now has; what was deleted meanwhile
        goes."""
        missing, active = 0, self.of().generation
        async for some in pages(served.generation):
            for item in some:
                if await active.get(item.item_id) is None:
                    await served.generation.delete(item.item_id, item.updated_at)
        async for some in pages(active):
            there = {item.item_id: await served.generation.get(item.item_id) for item in some}
            older = [item for item in some if (row := there[item.item_id]) is None or row.item.updated_at < item.updated_at]
            rows = [row for row in await _all_placed(place, served, older) if row is not None]
            missing += await served.generation.put(rows, fingerprint=served.fingerprint) if rows else 0
        return missing

    async def put(self, placed: Callable[[Served], Awaitable[list[Placed]]]) -> int:
        """How many of the rows are the newest, once they stand in every release in service; one that is not active and fails is left to
        catch up. Raises Refused."""
        newest = 0

        async def one(served: Served) -> None:
            nonlocal newest
            taken = await served.generation.put(await placed(served), fingerprint=served.fingerprint)
            newest += taken if served.release_id == self.active else 0

        await self._each(one)
        return newest

    async def delete(self, item_id: str, at: dt.datetime) -> bool:
        """True where the active release had the item; it is gone from every release."""
        had = False

        async def one(served: Served) -> None:
            nonlocal had
            was = await served.generation.delete(item_id, at)
            had = had or (was and served.release_id == self.active)

        await self._each(one)
        return had

    async def _each(self, act: Callable[[Served], Awaitable[None]]) -> None:
        active = self.of()
        await act(active)
        for served in [s for s in self.served.values() if s is not active]:
            try:
                await act(served)
            except VitrineError as error:
                self.behind.add(served.release_id)
                log.warning("serve: release %s missed a write and will catch up: %s", served.release_id[:12], error)

    async def activate(self, release_id: str) -> None:
        """The release answers from now on; requests that others began they end. Raises Refused where its generation is not complete."""
        served = self.of(release_id)
        alias = await self.index.alias()
        await self.index.switch(served.generation.about.name, version=alias.version)
        self.active = release_id

    async def rollback(self) -> str:
        """The release that answered before, after it answers again. Raises Refused nothing_to_roll_back."""
        alias = await self.index.rollback()
        return await self.follow(alias.active)

    async def follow(self, name: str | None) -> str:
        """The release whose generation has that name, loaded where it was not, and active."""
        about = next(about for about in await self.index.generations() if about.name == name)
        await self.load(about.release_id)
        self.active = about.release_id
        return about.release_id

    async def unload(self, release_id: str) -> None:
        """Takes a release out of service, and its generation with it, once nobody is answered by it. Raises Refused for the active one."""
        served = self.of(release_id)
        if release_id == self.active:
            raise Refused("release_refused", "the active release stays: activate another first")
        await self.forget(release_id)
        await self.index.drop(served.generation.about.name)

    async def forget(self, release_id: str) -> None:
        """Closes a release once nobody is answered by it, and leaves its generation alone."""
        self.behind.discard(release_id)
        await self.served.pop(release_id).close()

    async def close(self) -> None:
        """Ends every release and the index."""
        for served in list(self.served.values()):
            await served.close()
        self.served.clear()
        await self.index.close()


async def _all_placed(place: Place, served: Served, items: Sequence[Item]) -> list[Placed | None]:
    """Every item placed, in order, some at a time; where the gateway is too busy for one, later."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Placed | None:
        async with room:
            while True:
                try:
                    return await place(served, item)
                except Refused as refused:
                    if refused.code != "overloaded":
                        raise
                    await asyncio.sleep(refused.retry_after_s or 1.0)

    return await asyncio.gather(*(one(item) for item in items))


def name_of(release_id: str) -> str:
    """The name of a release's generation."""
    return f"g{release_id[:24]}"


async def pages(generation: Generation) -> AsyncIterator[list[Item]]:
    """Every item of a generation, in order of item_id."""
    after: str | None = None
    while rows := await generation.page(after, PAGE):
        yield [row.item for row in rows]
        after = rows[-1].item.item_id
