"""The generations of one gateway in a folder, and the file that says which of them answers.

<state>/index/alias.json, and for each generation <state>/index/<name>/items.sqlite and snapshot-<seq>/.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import BadState, StageBusy
from components.neighbours import IndexConfig
from components.process import alone
from components.serve.index import checks
from components.serve.index.alias import rolled_back, switched, without
from components.serve.index.config import EmbeddedConfig
from components.serve.index.embedded.compaction import Compactions
from components.serve.index.embedded.generation import EmbeddedGeneration
from components.serve.index.embedded.held import Held
from components.serve.index.embedded.journal import Journal
from components.serve.index.embedded.readers import Readers
from components.serve.index.embedded.snapshot import PARTIAL, sync
from components.serve.index.generation import About, Alias
from components.serve.items import Placed
from components.serve.problems import Refused

FOLDER, ALIAS, LOCK = "index", "alias.json", "index"
RETRY_S = 5.0

log = logging.getLogger("vitrine")


@dataclass
class EmbeddedStore:
    """See components.serve.index.generation.IndexStore. Used in one event loop, by the only process that has the folder."""

    folder: Path
    cfg: EmbeddedConfig
    index_cfg: IndexConfig
    abouts: dict[str, About]
    answering: Alias
    held_lock: contextlib.ExitStack

    def __post_init__(self) -> None:
        self._open: dict[str, EmbeddedGeneration] = {}
        self._dropping: set[str] = set()
        self._opening, self._changing = asyncio.Lock(), asyncio.Lock()  # two, so that a switch never waits for a load
        self._readers, self._compactions = Readers(self.cfg.max_waiting_reads), Compactions()

    @classmethod
    async def open(cls, state: Path, cfg: EmbeddedConfig, index_cfg: IndexConfig) -> "EmbeddedStore":
        """The store of a gateway's state. Raises StageBusy where another process has it, BadState where it is damaged."""
        return await asyncio.to_thread(cls._open_now, state / FOLDER, cfg, index_cfg)

    @classmethod
    def _open_now(cls, folder: Path, cfg: EmbeddedConfig, index_cfg: IndexConfig) -> "EmbeddedStore":
        with contextlib.ExitStack() as lock:
            try:
                lock.enter_context(alone(LOCK, folder.parent / "locks"))
            except StageBusy as busy:
                raise StageBusy(f"{folder}: {busy} For more replicas set serve.index.backend to postgres.") from None
            folder.mkdir(parents=True, exist_ok=True)
            for partial in folder.glob(f"{PARTIAL}*"):
                shutil.rmtree(partial, ignore_errors=True)
            abouts = {path.name: _about_of(path) for path in sorted(folder.iterdir()) if path.is_dir()}
            alias = _read_alias(folder / ALIAS)
            if missing := {alias.active, *alias.previous} - {None, *abouts}:
                raise BadState(f"{folder / ALIAS} names the generations {sorted(map(str, missing))}, which are not there: restore them")
            return cls(folder, cfg, index_cfg, abouts, alias, lock.pop_all())

    async def generations(self) -> list[About]:
        """All that are kept, oldest first."""
        return sorted(self.abouts.values(), key=lambda about: (about.created_at, about.name))

    async def create(self, name: str, *, release_id: str, fingerprint: str, dim: int) -> EmbeddedGeneration:
        """An empty generation."""
        about = checks.about(name, release_id, fingerprint, dim)
        async with self._changing:
            if name in self.abouts or name in self._dropping:
                raise Refused("release_refused", f"there is a generation {name} already")
            with told():
                await asyncio.to_thread(_make, self.folder, about)
            self.abouts[name] = about
        return await self.generation(name)

    async def fill(self, name: str, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """How many of the rows were taken, once they are durable."""
        return await (await self.generation(name)).fill(rows, fingerprint=fingerprint)

    async def finished(self, name: str) -> None:
        """The generation is complete, its base built and on disk."""
        generation = await self.generation(name)
        await generation.complete()
        self.abouts[name] = generation.about

    async def generation(self, name: str) -> EmbeddedGeneration:
        """The generation, read from disk where it is asked for the first time."""
        if (found := self._open.get(name)) is not None:
            return found
        async with self._opening:
            if name not in self._open:
                self._check_there(name)
                held = await asyncio.to_thread(Held.open, self.folder / name, self.cfg, self.index_cfg)
                self._open[name] = EmbeddedGeneration(held, self._readers, self._compactions)
                self._open[name].compaction.if_due()
            return self._open[name]

    def _check_there(self, name: str) -> None:
        if name not in self.abouts:
            raise Refused("release_unknown", f"there is no generation {name!r:.66}")

    async def alias(self) -> Alias:
        """Which generation answers."""
        return self.answering

    async def switch(self, name: str, *, version: int) -> Alias:
        """The alias after the generation, which is opened first, became active."""
        await self.generation(name)
        async with self._changing:
            return await self._answer_by(switched(self.answering, self.abouts.get(name), version=version))

    async def rollback(self) -> Alias:
        """The alias after the generation before, which is opened first, became active again."""
        await self.generation(str(rolled_back(self.answering).active))
        async with self._changing:
            return await self._answer_by(rolled_back(self.answering))

    async def _answer_by(self, alias: Alias) -> Alias:
        with told():
            await asyncio.to_thread(_write_alias, self.folder / ALIAS, alias)
        self.answering = alias
        return alias

    async def drop(self, name: str) -> None:
        """Forgets the generation and removes its files."""
        async with self._changing:
            self._check_there(name)
            await self._answer_by(without(self.answering, name))
            del self.abouts[name]
            self._dropping.add(name)
        async with self._opening:
            generation = self._open.pop(name, None)
        try:
            if generation is not None:
                await generation.close()
            with told():
                await asyncio.to_thread(_remove, self.folder, name)
        finally:
            self._dropping.discard(name)

    async def close(self) -> None:
        """Ends threads after what they do now, and lets go of the folder."""
        async with self._opening, self._changing:
            for generation in self._open.values():
                await generation.close()
            self._open.clear()
            await asyncio.to_thread(self._compactions.close)
            await asyncio.to_thread(self._readers.close)
            self.held_lock.close()


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A disk that is full or fails in the block, as Refused."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        log.error("index: %s", error)
        raise Refused("index_failed", "the index's folder could not be written", retry_after_s=RETRY_S) from None


def _about_of(folder: Path) -> About:
    journal = Journal(folder)
    journal.close()
    return journal.about


def _make(folder: Path, about: About) -> None:
    partial = folder / f"{PARTIAL}{about.name}"
    shutil.rmtree(partial, ignore_errors=True)
    Journal.create(partial, about)
    sync(partial)
    os.rename(partial, folder / about.name)
    sync(folder)


def _remove(folder: Path, name: str) -> None:
    partial = folder / f"{PARTIAL}dropped-{name}"
    os.rename(folder / name, partial)  # what a kill leaves of it is removed at the next start
    sync(folder)
    shutil.rmtree(partial, ignore_errors=True)


def _read_alias(path: Path) -> Alias:
    if not path.exists():
        return Alias(None, (), 0)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Alias(found["active"], tuple(found["previous"]), found["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadState(f"{path} is damaged ({error}): restore it from a backup") from None


def _write_alias(path: Path, alias: Alias) -> None:
    partial = path.with_name(f"{PARTIAL}{path.name}")
    partial.write_text(json.dumps(dataclasses.asdict(alias)) + "\n", encoding="utf-8")
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)
