"""The gateway's event log: what append() has returned for survives the process, and comes to the object store once."""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.objects import ObjectStore
from components.process import alone
from components.serve.log.config import LogConfig
from components.serve.log.figures import LogState
from components.serve.log.flusher import Flusher
from components.serve.log.journal import Appended, Journal
from components.serve.log.rows import ANSWERS, DROPPABLE, PREDICTIONS, Encoded, Record, encode
from components.serve.problems import Refused

FILE = "events.sqlite"
AT_ONCE = 256  # appends of one commit
MAX_CONFLICTS_TOLD = 1000
JOIN_S = 1.0
GATHER_S = 0.1  # offers wait so long for each other: nobody waits for them, and the writer, once awake, keeps requests from running
NOTHING = Appended(())

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class _Waiting:
    """An append that is not on the disk yet, and whom to tell. `offered` is the table of what may be dropped."""

    records: Sequence[Record]
    future: "asyncio.Future[Appended]"
    offered: str | None


@dataclass
class _Counts:
    accepted: int = 0
    repeated: int = 0
    conflicts: int = 0
    refused: int = 0


class EventLog:
    """One writer thread commits what waits, all of it at once; one thread flushes. Nothing here blocks the event loop."""

    def __init__(self, journal: Journal, store: ObjectStore, clock: Callable[[], float], lock: contextlib.ExitStack) -> None:
        self._journal, self._clock, self._lock = journal, clock, lock
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._num_waiting = 0
        self._offers_waiting = dict.fromkeys(DROPPABLE, 0)
        self._offered: list[_Waiting] = []
        self._kept, self._dropped = dict.fromkeys(DROPPABLE, 0), dict.fromkeys(DROPPABLE, 0)
        self._counts, self._closed = _Counts(), False
        self._told: set[str] = set()
        self._flusher = Flusher(journal, store, clock)
        self._thread = threading.Thread(target=self._run, name="vitrine-log-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, state: Path, store: ObjectStore, cfg: LogConfig, *, clock: Callable[[], float] = time.time) -> "EventLog":
        """The log in the folder `state`, with what an earlier process left there. Raises StageBusy where another process has it,
        BadWorkspace where it cannot be read."""
        with contextlib.ExitStack() as lock:
            lock.enter_context(alone("event-log", state))
            journal = await asyncio.to_thread(Journal, state / FILE, cfg)
            return cls(journal, store, clock, lock.pop_all())

    async def append(self, records: Sequence[Record]) -> Appended:
        """Which records are new, once all are on the disk. Raises Refused invalid, overloaded, or log_failed; then none of them is."""
        if self._closed:
            raise Refused("log_failed", "the gateway is closing", retry_after_s=5)
        if self._num_waiting and self._num_waiting + _num_rows(records) > self._journal.cfg.max_waiting:
            raise Refused("overloaded", f"{self._num_waiting} rows wait for the disk (serve.log.max_waiting)", retry_after_s=1)
        waiting = self._waiting(records, offered=None)
        self._queue.put(waiting)
        return await waiting.future

    def offer(self, record: Record) -> "asyncio.Future[Appended]":
        """A record of DROPPABLE, dropped and counted where there is no room; the future need not be awaited, and raises nothing."""
        if self._closed or self._offers_waiting[record.table] >= self._journal.cfg.max_waiting:
            self._dropped[record.table] += 1
            dropped: asyncio.Future[Appended] = self._loop.create_future()
            dropped.set_result(NOTHING)
            return dropped
        if not self._offered:
            self._loop.call_later(GATHER_S, self._hand_over)
        self._offered.append(self._waiting([record], offered=record.table))
        return self._offered[-1].future

    def hasten(self, within_s: float | None) -> None:
        """Has what the canary's judge counts come to the store within about that time from now on; None: as everything else."""
        self._flusher.hasty_s = within_s

    def _hand_over(self) -> None:
        for waiting in self._offered:
            self._queue.put(waiting)
        self._offered.clear()

    def _waiting(self, records: Sequence[Record], *, offered: str | None) -> _Waiting:
        waiting = _Waiting(records, self._loop.create_future(), offered)
        self._count_waiting(waiting, +1)
        return waiting

    def _count_waiting(self, waiting: _Waiting, sign: int) -> None:
        if waiting.offered:
            self._offers_waiting[waiting.offered] += sign
        else:
            self._num_waiting += sign * _num_rows(waiting.records)

    def state(self) -> LogState:
        """Figures as of now."""
        backlog, done = self._journal.backlog.values(), self._flusher.done
        oldest = min((one.oldest_s for one in backlog if one.oldest_s is not None), default=None)
        return LogState(
            backlog_rows=sum(one.num_rows for one in backlog),
            backlog_bytes=sum(one.num_bytes for one in backlog),
            oldest_s=0.0 if oldest is None else max(self._clock() - oldest, 0.0),
            flushed_rows=done.rows,
            flushed_files=done.files,
            flush_failures=done.failures,
            flush_error=done.error,
            set_aside=sum(one.set_aside for one in backlog),
            remembered=self._journal.remembered.count,
            predictions_kept=self._kept[PREDICTIONS],
            predictions_dropped=self._dropped[PREDICTIONS],
            answers_kept=self._kept[ANSWERS],
            answers_dropped=self._dropped[ANSWERS],
            **vars(self._counts),
        )

    async def flush(self) -> None:
        """Returns once all that was appended until now is in the store. Raises Refused log_failed."""
        if self._closed:
            raise Refused("log_failed", "the event log is closed")
        await self._flush()

    async def _flush(self) -> None:
        try:
            await asyncio.wrap_future(self._flusher.ask())
        except Exception as error:
            raise Refused("log_failed", f"the object store does not take events: {error}", retry_after_s=30) from None

    async def close(self) -> None:
        """Takes nothing more, and flushes for at most serve.log.close_s; what is left then is kept for the next start."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        try:
            await asyncio.wait_for(self._flush(), self._journal.cfg.close_s)
        except (Refused, TimeoutError) as error:
            log.warning("serve: %d rows stay in the local event log until the next start: %s", self.state().backlog_rows, error)
        if await asyncio.to_thread(self._flusher.stop, JOIN_S):
            await asyncio.to_thread(self._journal.close)
        self._lock.close()

    def _run(self) -> None:
        while waiting := self._taken():
            self._tell(waiting, self._commit(waiting))
            self._flusher.notice()

    def _taken(self) -> list[_Waiting]:
        """All that waits, once something does; nothing once the log is closed and its queue empty."""
        taken: list[_Waiting] = []
        while len(taken) < AT_ONCE and (not taken or not self._queue.empty()):
            if (one := self._queue.get()) is None:
                self._queue.put(None)  # for the next round, which ends the thread
                break
            taken.append(one)
        return taken

    def _commit(self, waiting: Sequence[_Waiting]) -> list[Appended | Refused]:
        """What became of each append. Where the disk refuses, it refuses all."""
        encoded = [_encoded(one.records) for one in waiting]
        sound = [rows for rows in encoded if not isinstance(rows, Refused)]
        try:
            written = self._journal.write(sound, self._clock())
        except Exception as error:
            known = isinstance(error, sqlite3.Error | OSError)
            log.error("serve: the event log cannot be written: %s", error, exc_info=not known)
            return [rows if isinstance(rows, Refused) else _failed(error) for rows in encoded]
        self._tell_conflicts(written.conflicts)
        answers = iter(written.answers)
        return [rows if isinstance(rows, Refused) else next(answers) for rows in encoded]

    def _tell_conflicts(self, event_ids: Sequence[str]) -> None:
        """Each is written about once."""
        self._counts.conflicts += len(event_ids)
        for event_id in set(event_ids) - self._told:
            if len(self._told) < MAX_CONFLICTS_TOLD:
                self._told.add(event_id)
                log.warning("serve: event %.80r came again and says something else: the first is kept", event_id)

    def _tell(self, waiting: Sequence[_Waiting], answers: Sequence[Appended | Refused]) -> None:
        with contextlib.suppress(RuntimeError):  # nobody is left to tell: the loop is closed
            self._loop.call_soon_threadsafe(self._settle, list(zip(waiting, answers, strict=True)))

    def _settle(self, answered: Sequence[tuple[_Waiting, Appended | Refused]]) -> None:
        for waiting, answer in answered:
            self._count_waiting(waiting, -1)
            self._count(waiting, answer)
            if waiting.future.done():
                continue  # the caller went away
            if not isinstance(answer, Refused):
                waiting.future.set_result(answer)
            elif waiting.offered:
                waiting.future.set_result(NOTHING)
            else:
                waiting.future.set_exception(answer)

    def _count(self, waiting: _Waiting, answer: Appended | Refused) -> None:
        counts = self._counts
        if waiting.offered:
            (self._kept if isinstance(answer, Appended) else self._dropped)[waiting.offered] += 1
        elif isinstance(answer, Refused):
            counts.refused += 1
        else:
            counts.accepted, counts.repeated = counts.accepted + answer.accepted, counts.repeated + answer.repeated


def _num_rows(records: Sequence[Record]) -> int:
    return sum(len(record.rows) for record in records)


def _encoded(records: Sequence[Record]) -> list[Encoded] | Refused:
    try:
        return [encode(record) for record in records]
    except Refused as refused:
        return refused
    except Exception as error:  # a mistake of ours must not end the thread that writes
        log.exception("serve: a record cannot be written")
        return Refused("internal", f"a record of the event log cannot be written: {type(error).__name__}")


def _failed(error: Exception) -> Refused:
    return Refused("log_failed", f"the local disk does not take events: {error}", retry_after_s=10)
