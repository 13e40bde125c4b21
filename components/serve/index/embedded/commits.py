"""One thread that writes a journal. Changes that wait while it syncs share the next commit."""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from components.serve.index.embedded.journal import Change, Journal
from components.serve.problems import Refused

MAX_SHARED = 256  # waiting writers whose changes share one commit
RETRY_S = 1.0

log = logging.getLogger("vitrine")

Applied = Callable[[list[int]], Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """Changes on their way to the disk. `applied` is called in the loop with their seqs, in the order of commits, and gives the answer."""

    changes: Sequence[Change]
    applied: Applied
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"


class Commits:
    """Writes to one journal from one event loop."""

    def __init__(self, journal: Journal, max_rows: int) -> None:
        self.journal, self.max_rows = journal, max_rows
        self.num_rows = 0
        self.closed = False
        self._queue: queue.SimpleQueue[Waiting | Callable[[], None] | None] = queue.SimpleQueue()  # bounded by max_rows
        self._thread = threading.Thread(target=self._work, name="index-commits", daemon=True)
        self._thread.start()

    async def write(self, changes: Sequence[Change], applied: Applied) -> Any:
        """What applied() made of the changes, once they are durable. Raises Refused overloaded or index_failed.

        A caller that gives up waiting takes nothing back: the changes are written and applied all the same.
        """
        self._check_open()
        if self.num_rows and self.num_rows + len(changes) > self.max_rows:
            raise Refused("overloaded", f"{self.num_rows} rows wait for the disk already", retry_after_s=RETRY_S)
        loop = asyncio.get_running_loop()
        waiting = Waiting(changes, applied, loop, loop.create_future())
        self.num_rows += len(changes)
        self._queue.put(waiting)
        return await waiting.answer

    def _check_open(self) -> None:
        if self.closed:
            raise Refused("release_unknown", f"generation {self.journal.about.name} was dropped or closed")

    async def run(self, act: Callable[[], T]) -> T:
        """What act() returns, which the thread calls between two commits. Raises Refused index_failed where it cannot write."""
        self._check_open()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            try:
                loop.call_soon_threadsafe(done.set_result, act())
            except sqlite3.Error as error:
                loop.call_soon_threadsafe(done.set_exception, self._refused(error))

        self._queue.put(call)
        return await done

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            if not isinstance(first, Waiting):
                first()
                continue
            group, after = self._group(first)
            self._commit(group)
            if after is None:
                return
            after()

    def _group(self, first: Waiting) -> tuple[list[Waiting], Callable[[], None] | None]:
        """The changes that share a commit with the first, and what is to be done after it; None where nothing ever will be."""
        group = [first]
        while len(group) < MAX_SHARED and not self._queue.empty():
            more = self._queue.get()
            if not isinstance(more, Waiting):
                return group, more
            group.append(more)
        return group, _nothing

    def _commit(self, group: list[Waiting]) -> None:
        try:
            seqs = iter(self.journal.apply([change for waiting in group for change in waiting.changes]))
            answers: list[list[int] | Refused] = [[next(seqs) for _ in waiting.changes] for waiting in group]
        except sqlite3.Error as error:
            answers = [self._refused(error)] * len(group)
        try:
            group[0].loop.call_soon_threadsafe(self._answer, group, answers)
        except RuntimeError:
            log.warning("index: the event loop ended before %d changes were answered; they are kept", len(group))

    def _refused(self, error: sqlite3.Error) -> Refused:
        log.error("index: %s could not be written: %s", self.journal.path, error)
        return Refused("index_failed", "the index's journal could not be written", retry_after_s=RETRY_S)

    def _answer(self, group: list[Waiting], answers: list[list[int] | Refused]) -> None:
        for waiting, answer in zip(group, answers, strict=True):
            self.num_rows -= len(waiting.changes)
            made = answer if isinstance(answer, Refused) else waiting.applied(answer)
            if waiting.answer.done():
                continue  # its caller gave up
            if isinstance(made, Refused):
                waiting.answer.set_exception(made)
            else:
                waiting.answer.set_result(made)

    async def close(self) -> None:
        """Ends the thread after what waits was written, and closes the journal."""
        self.closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self.journal.close()


def _nothing() -> None:
    return
