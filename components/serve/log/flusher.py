"""From the local log to the object store: batches by size and time, each in effect written once, whatever is killed or down in between."""

import datetime as dt
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from components.errors import BadData, VitrineError
from components.objects import ObjectStore
from components.serve.log.journal import MIB, Journal
from components.serve.log.outbox import Batch, Outbox
from components.serve.log.rows import COUNTED, TABLES, parquet_of, table_of

NO_END = 2**62
LOOK_S = 1.0  # how often the clock is looked at
AGAIN_S = 60.0  # how often a store that is down is written about

log = logging.getLogger("vitrine")


@dataclass
class Flushed:
    """What the flusher did since it started; `error` is why the last try failed, None where it did not."""

    rows: int = 0
    files: int = 0
    failures: int = 0
    error: str | None = None


@dataclass
class Flusher:
    """One thread. `clock` is Unix time: the day that it gives at sealing names a batch for good. Rows of COUNTED tables get no older than
    `hasty_s`, where it is not None."""

    journal: Journal
    store: ObjectStore
    clock: Callable[[], float] = time.time
    done: Flushed = field(default_factory=Flushed)
    hasty_s: float | None = None

    def __post_init__(self) -> None:
        self._outbox = Outbox(self.journal)
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._asked: list[Future[None]] = []
        self._not_before_s, self._wait_s, self._told_s = 0.0, self.journal.cfg.retry_s, float("-inf")
        self.thread = threading.Thread(target=self._run, name="vitrine-log-flusher", daemon=True)
        self.thread.start()

    def notice(self) -> None:
        """Has it look at sizes now."""
        if self._is_large():
            self._woken.set()

    def ask(self) -> Future[None]:
        """Flushes all that is here now, however small and young; the future raises where that fails."""
        asked: Future[None] = Future()
        self._asked.append(asked)
        self._woken.set()
        return asked

    def stop(self, wait_s: float) -> bool:
        """Ends the thread between two batches; False where it hangs in the store for longer than that."""
        self._stopping.set()
        self._woken.set()
        self.thread.join(wait_s)
        return not self.thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.wait(min(LOOK_S, self.journal.cfg.flush_s, self.hasty_s or LOOK_S))
            self._woken.clear()
            asked = [self._asked.pop(0) for _ in range(len(self._asked))]
            whole = TABLES.keys() if asked else self._old()
            if asked or (time.monotonic() >= self._not_before_s and (whole or self._is_large())):
                self._answer(asked, self._try(whole))
        self._answer(self._asked, VitrineError("the event log is closed"))

    def _answer(self, asked: list["Future[None]"], error: BaseException | None) -> None:
        for one in asked:
            if one.set_running_or_notify_cancel():
                one.set_exception(error) if error else one.set_result(None)

    def _old(self) -> Collection[str]:
        """The tables that are due, however few rows they have."""
        if self._is_old(TABLES, self.journal.cfg.flush_s):
            return TABLES.keys()
        return COUNTED if self.hasty_s is not None and self._is_old(COUNTED, self.hasty_s) else ()

    def _is_old(self, tables: Iterable[str], limit_s: float) -> bool:
        oldest = [one for table in tables if (one := self.journal.backlog[table].oldest_s) is not None]
        return any(not 0 <= self.clock() - oldest_s < limit_s for oldest_s in oldest)

    def _is_large(self) -> bool:
        return any(self._fills_a_file(table) for table in TABLES)

    def _fills_a_file(self, table: str) -> bool:
        return self.journal.backlog[table].num_bytes >= self.journal.cfg.flush_mib * MIB

    def _try(self, whole: Collection[str]) -> Exception | None:
        try:
            self._flush_all(whole)
            self.journal.forget(self.clock())
        except Exception as error:
            self._failed(error)
            return error
        self.done.error, self._wait_s = None, self.journal.cfg.retry_s
        return None

    def _failed(self, error: Exception) -> None:
        self.done.failures += 1
        self.done.error = " ".join(str(error).split())[:300]
        self._not_before_s = time.monotonic() + self._wait_s * random.uniform(0.5, 1)
        self._wait_s = min(2 * self._wait_s, self.journal.cfg.max_retry_s)
        if time.monotonic() >= self._told_s + AGAIN_S:
            self._told_s = time.monotonic()
            known = isinstance(error, VitrineError | OSError | sqlite3.Error)
            log.warning("serve: events wait on the local disk, tried again soon: %s", self.done.error, exc_info=not known)

    def _flush_all(self, whole: Collection[str]) -> None:
        """All rows of now of the tables in `whole`, and of the others those that fill a file."""
        for table in TABLES:
            until = self._outbox.last(table) if table in whole else NO_END
            while not self._stopping.is_set() and (table in whole or self._fills_a_file(table)):
                if (batch := self._outbox.next(table, until, self._day())) is None:
                    break
                self._flush(batch)

    def _day(self) -> str:
        return dt.datetime.fromtimestamp(self.clock(), dt.UTC).date().isoformat()

    def _flush(self, batch: Batch) -> None:
        if not batch.sent and not (batch.old and self.store.get(batch.key) is not None):  # its key holds a digest of its rows
            found = self._outbox.rows(batch)
            try:
                table = table_of(batch.table, found.rows, found.blobs)
            except BadData as error:
                self._outbox.set_aside(batch, error)
                return
            self.store.put(batch.key, parquet_of(table))
        num_rows = self._outbox.sent(batch)
        self.done.rows, self.done.files = self.done.rows + num_rows, self.done.files + 1
