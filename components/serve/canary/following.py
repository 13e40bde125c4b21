"""Reading the channel record again and again. Where it cannot be read, the last good one goes on, and everybody is told."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import BadState, VitrineError
from components.release.channel import EMPTY, Channel
from components.serve.canary.aside import begun, within
from components.serve.canary.config import ChannelConfig
from components.serve.canary.edge import Edge
from components.serve.canary.remembered import Remembered, Rollback
from components.serve.canary.rollback import Settled, going_by

log = logging.getLogger("vitrine")


@dataclass
class Following:
    """The record as the gateway goes by it. `problem` is why it cannot be read, `unwritten` why a rollback is not in it yet, and `waits`
    what a starting gateway waits for before it is ready, None once it has begun."""

    opened: Callable[[], Edge]
    cfg: ChannelConfig
    kept: Remembered
    record: Channel = EMPTY
    problem: str | None = None
    unwritten: str | None = None
    waits: str | None = "the channel record has not been read yet"
    _edge: Edge | None = None
    _reading: "asyncio.Future[tuple[Channel, str | None]] | None" = None
    _read_after: int = 0
    _writing: "tuple[Rollback, asyncio.Future[Channel]] | None" = None
    _keeping: asyncio.Lock = field(default_factory=asyncio.Lock)
    _since_s: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._go_by()

    @property
    def governs(self) -> bool:
        """Whether the record says which release answers; a gateway without one answers by its own bundle."""
        return self.record.stable is not None

    @property
    def age_s(self) -> float:
        """Since the record was read last; since the start where it never was."""
        return max(time.time() - (self.kept.read_s or self._since_s), 0.0)

    def edge(self) -> Edge:
        """The registry, opened where it is not. Blocks. Raises VitrineError."""
        self._edge = self._edge or self.opened()
        return self._edge

    async def look(self) -> None:
        """Reads the record, and writes rollbacks into it that it does not know."""
        try:
            channel = await self._read()
        except Exception as error:
            self._fails(error)
            return
        await self._has(channel)
        if self.kept.rollbacks:
            await self.write_rollbacks()

    async def _read(self) -> Channel:
        if self._reading is None or self._reading.done():  # a call that hangs is waited for again, not made again
            self._reading, self._read_after = begun(lambda: self.edge().channel()), self.kept.record.revision
        channel, version = await within(self._reading, self.cfg.timeout_s, "the registry")
        if version is None and self.kept.record != EMPTY:
            raise BadState(f"the channel record is gone, which had revision {self.kept.record.revision}: put it back")
        if channel.revision < self._read_after:
            raise BadState(
                f"the channel record has revision {channel.revision}, and had {self._read_after}: an older one was put back. Where that is "
                f"meant, move {self.kept.path} away and start the gateway again"
            )
        return channel

    def _fails(self, error: Exception) -> None:
        said, known = words_of(error)
        if self.problem is None:
            log.warning("serve: the channel record cannot be read, revision %d goes on: %s", self.record.revision, said, exc_info=not known)
        self.problem = said

    async def _has(self, channel: Channel) -> None:
        if self.problem is not None:
            log.info("serve: the channel record can be read again, %.0f s after it was last", self.age_s)
            self.problem = None
        if channel == self.kept.record or channel.revision < self.kept.record.revision:  # read before a change of ours
            self.kept.seen()
            return
        self.kept.record, self.kept.read_s = channel, time.time()
        self._go_by()
        await self._keep()

    def _go_by(self) -> None:
        before, self.record = self.record, going_by(self.kept.record, (one.release_id for one in self.kept.rollbacks))
        if self.record != before:
            log.info("serve: goes by the channel's revision %d: %s", self.record.revision, told(self.record))

    async def _keep(self) -> None:
        try:
            async with self._keeping:
                await asyncio.to_thread(self.kept.keep)
        except (OSError, VitrineError) as error:
            log.error("serve: %s cannot be written, so a restart may forget what the channel said: %s", self.kept.path, error)

    async def take_in(self, release_id: str, *, passed: bool) -> None:
        """Remembers that the release is brought here for the record, or has `passed` and stands in service."""
        added = frozenset({release_id})
        await self._brought(self.kept.taken | added, self.kept.passed | added if passed else self.kept.passed)

    async def let_go(self, release_id: str) -> None:
        """Forgets it."""
        await self._brought(self.kept.taken - {release_id}, self.kept.passed - {release_id})

    async def _brought(self, taken: frozenset[str], passed: frozenset[str]) -> None:
        if (taken, passed) != (self.kept.taken, self.kept.passed):
            self.kept.taken, self.kept.passed = taken, passed
            await self._keep()

    async def roll_back(self, rollback: Rollback) -> bool:
        """Whether the registry knows, once the gateway goes by it itself, and will after a restart."""
        self.kept.rollbacks = (*self.kept.rollbacks, rollback)
        self._go_by()
        await self._keep()
        return await self.write_rollbacks()

    async def write_rollbacks(self) -> bool:
        """Whether the registry knows of every rollback that was made here."""
        for one in self.kept.rollbacks:
            try:
                await self._write(one)
            except Exception as error:
                said, known = words_of(error)
                if self.unwritten is None:
                    log.warning("serve: a rollback holds here and is not in the registry yet: %s", said, exc_info=not known)
                self.unwritten = said
                return False
        self.unwritten = None
        return True

    async def _write(self, one: Rollback) -> None:
        if self._writing is None or self._writing[0] != one or self._writing[1].done():
            self._writing = one, begun(lambda: self.edge().roll_back(one))
        with contextlib.suppress(Settled):
            await self._has(await within(self._writing[1], self.cfg.timeout_s, "the registry"))
        self.kept.rollbacks = tuple(other for other in self.kept.rollbacks if other != one)
        self._go_by()
        await self._keep()
        log.info("serve: the registry knows that %s was rolled back: %s", one.release_id[:12], one.reason)

    async def change(self, act: Callable[[Edge], Channel]) -> None:
        """Returns once the record was changed and the gateway goes by it. Raises VitrineError."""
        await self._has(await within(begun(lambda: act(self.edge())), self.cfg.timeout_s, "the registry"))

    async def fetch(self, release_id: str, folder: Path, wanted: Callable[[], bool]) -> Path:
        """The release's folder, copied from the registry and verified. Raises VitrineError, also where it is `wanted` no more."""
        fetching, began_s = begun(lambda: self.edge().fetch(release_id, folder)), time.monotonic()
        while wanted() and time.monotonic() < began_s + self.cfg.fetch_timeout_s:
            done, _ = await asyncio.wait([fetching], timeout=self.cfg.poll_s)
            if done:
                return fetching.result()
        return await within(fetching, 0, "the registry")


def words_of(error: Exception) -> tuple[str, bool]:
    """What is said of an error of the registry, and whether it is of a kind that was foreseen."""
    known = isinstance(error, VitrineError | OSError)
    return (" ".join(str(error).split())[:500] if known else f"the registry's client failed: {type(error).__name__}"), known


def told(channel: Channel) -> str:
    """The record in a line for the log."""
    stable = f"{(channel.stable or 'no release')[:12]} is stable"
    if (candidate := channel.candidate) is None:
        return stable
    lanes = ", ".join(f"{name} {lane.step} {lane.weight_percent} %" for name, lane in sorted(candidate.lanes.items()))
    return f"{stable}, {candidate.release_id[:12]} is under test: {lanes}"
