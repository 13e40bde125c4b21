"""When and how what was written lately moves into the base: in a thread of low priority, one generation at a time."""

import asyncio
import contextlib
import ctypes
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from components.serve.index.embedded import snapshot as snapshots
from components.serve.index.embedded.building import Rebuilt, carried_over, rebuilt
from components.serve.index.embedded.held import Held, forgotten_before
from components.serve.index.embedded.memory import View
from components.serve.index.embedded.snapshot import Snapshot
from components.serve.problems import Refused

NICENESS = 10  # requests come first
RETRY_S = 60.0

log = logging.getLogger("vitrine")


class Compactions:
    """The thread that all generations share, so that the memory of two compactions is never held at once."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="index-compaction", initializer=_give_way)

    def close(self) -> None:
        """Ends the thread."""
        self.pool.shutdown()


def _give_back() -> None:
    """Returns the memory of the base before to the system; the allocator would keep most of it."""
    ctypes.CDLL(None).malloc_trim(0)


def _give_way() -> None:
    thread = threading.get_native_id()
    niceness = max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread))  # a gateway that was started with more may not go below it
    os.setpriority(os.PRIO_PROCESS, thread, niceness)


class Compaction:
    """The compactions of one generation."""

    def __init__(self, compactions: Compactions, held: Held) -> None:
        self.compactions, self.held = compactions, held
        self._running: asyncio.Task[None] | None = None
        self._not_before_s = 0.0

    def if_due(self) -> None:
        """Begins one where the generation has enough changes and none is running."""
        held = self.held
        due = held.journal.about.complete and held.memory.num_changes >= held.cfg.compact_after
        if due and not held.closed and time.monotonic() >= self._not_before_s:
            self._begin()

    def _begin(self) -> "asyncio.Task[None]":
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._compact())
            self._running.add_done_callback(self._told)
        return self._running

    def _told(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("index: %s could not be compacted: %s", self.held.journal.about.name, error)

    async def run(self) -> None:
        """Has every change until now in the base when it returns. Raises Refused index_failed."""
        await self.ended()
        try:
            await self._begin()
        except (MemoryError, RuntimeError) as error:  # what faiss raises
            raise Refused("index_failed", f"the index could not be built: {error}") from None

    async def ended(self) -> None:
        """Returns when none is running."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _compact(self) -> None:
        await self._pass()
        while self.held.memory.num_changes >= self.held.cfg.compact_after and not self.held.closed:  # as many came meanwhile
            await self._pass()

    async def _pass(self) -> None:
        held, started = self.held, time.monotonic()
        before, view, seq = held.memory, held.memory.view(kept=True), held.seq
        self._not_before_s = started + RETRY_S  # where it fails
        built = await asyncio.get_running_loop().run_in_executor(self.compactions.pool, self._build, view, seq)
        held.memory = carried_over(before, view, built)
        del before, view
        await asyncio.get_running_loop().run_in_executor(self.compactions.pool, _give_back)
        self._not_before_s = 0.0
        with contextlib.suppress(Refused):  # it was told where it was met, and there is time
            await held.commits.run(lambda: held.journal.forget_deletions(forgotten_before(held.cfg)))
        log.info("index: %s compacted to %d items in %.1f s", held.journal.about.name, built.base.count, time.monotonic() - started)

    def _build(self, view: View, seq: int) -> Rebuilt:
        built = rebuilt(view, self.held.index_cfg)
        try:
            snapshots.write(self.held.folder, Snapshot(built.base, built.item_ids, seq))
        except (OSError, RuntimeError) as error:  # faiss tells of a full disk by the latter
            log.warning("index: no snapshot was written to %s, so the next start takes longer: %s", self.held.folder, error)
        return built
