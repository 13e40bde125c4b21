"""What was appended and does not yet lie in the object store, on the local disk: SQLite, one transaction and one sync for many appends."""

import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.errors import BadWorkspace
from components.serve.log.config import LogConfig
from components.serve.log.remembered import Remembered
from components.serve.log.rows import ANSWERS, PREDICTIONS, TABLES, Encoded
from components.serve.problems import Refused

FORMAT = "1"  # of the tables below
MIB = 2**20
FORGOTTEN_AT_ONCE = 1000
COLUMNS = "at_s REAL NOT NULL, num_bytes INTEGER NOT NULL, row BLOB NOT NULL, data BLOB"
TABLE = f"""
CREATE TABLE IF NOT EXISTS {{0}} (seq INTEGER PRIMARY KEY AUTOINCREMENT, {COLUMNS});
CREATE TABLE IF NOT EXISTS {{0}}_set_aside (seq INTEGER PRIMARY KEY, {COLUMNS});
"""
OTHERS = """
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, log TEXT NOT NULL UNIQUE, first INTEGER NOT NULL, last INTEGER NOT NULL, sent INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass
class Backlog:
    """Rows of one table that are here."""

    num_rows: int = 0
    num_bytes: int = 0
    oldest_s: float | None = None
    set_aside: int = 0


@dataclass(frozen=True)
class Appended:
    """For each record of an append, in order, whether it is new; the others came before."""

    is_new: tuple[bool, ...]

    @property
    def accepted(self) -> int:
        """How many are new."""
        return sum(self.is_new)

    @property
    def repeated(self) -> int:
        """How many came before."""
        return len(self.is_new) - self.accepted


@dataclass
class Written:
    """What became of each append of a group, and the event ids that came again and said something else."""

    answers: list[Appended | Refused] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


class Journal:
    """The local log. Writes are serialised; one connection writes, another reads. Raises sqlite3.Error where the disk fails."""

    def __init__(self, path: Path, cfg: LogConfig) -> None:
        self.path, self.cfg = path, cfg
        self.lock = threading.Lock()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.writer, self.reader = _connected(path), _connected(path)
            self.writer.executescript(OTHERS + "".join(TABLE.format(name) for name in TABLES))
            self._check_format()
            self.remembered = Remembered(self.writer)
            self.instance = self._fact("instance", secrets.token_hex(6))
            self.backlog = {name: self.counted(name) for name in TABLES}

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BadWorkspace(
                f"the event log {self.path} cannot be opened: {error}. Where it is damaged, move it away and keep it: it holds what is not "
                "yet in the store"
            ) from None

    def _check_format(self) -> None:
        if (found := self._fact("format", FORMAT)) != FORMAT:
            raise BadWorkspace(
                f"the event log {self.path} has format {found}, this version reads {FORMAT}: let the version that wrote it end in peace, "
                "which empties it into the store, or move it away and keep it"
            )

    def _fact(self, name: str, new: str) -> str:
        """What the log says of itself, `new` where it says nothing yet."""
        self.writer.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", [name, new])
        return str(self.writer.execute("SELECT value FROM about WHERE name = ?", [name]).fetchone()[0])

    def counted(self, table: str) -> Backlog:
        """The table's rows that are here, counted anew."""
        found = self.writer.execute(f"SELECT count(*), coalesce(sum(num_bytes), 0), min(at_s) FROM {table}").fetchone()
        (set_aside,) = self.writer.execute(f"SELECT count(*) FROM {table}_set_aside").fetchone()
        return Backlog(found[0], found[1], found[2], set_aside)

    @property
    def num_bytes(self) -> int:
        """Of all that is here."""
        return sum(one.num_bytes for one in self.backlog.values())

    def write(self, appends: Sequence[Sequence[Encoded]], now_s: float) -> Written:
        """What became of each append, once it is on the disk. Where this raises, none of them is."""
        written = Written()
        with self.lock:
            before = {name: replace(one) for name, one in self.backlog.items()}
            try:
                with transaction(self.writer):
                    for records in appends:
                        written.answers.append(self._append(records, now_s, written.conflicts))
            except BaseException:
                self.backlog = before
                self.remembered.recount()
                raise
        return written

    def _append(self, records: Sequence[Encoded], now_s: float, conflicts: list[str]) -> Appended | Refused:
        if full := self._full(records):
            return full
        return Appended(tuple(self._is_new(record, now_s, conflicts) for record in records))

    def _is_new(self, record: Encoded, now_s: float, conflicts: list[str]) -> bool:
        """Whether the record had to be inserted."""
        if record.event_id is not None and (said := self.remembered.seen(record, now_s)) is not None:
            if said != record.said:
                conflicts.append(record.event_id)
            return False
        self._insert(record, now_s)
        return True

    def _full(self, records: Sequence[Encoded]) -> Refused | None:
        coming = sum(record.num_bytes for record in records)
        if self.num_bytes + coming > self.cfg.max_backlog_mib * MIB:
            return Refused(
                "log_failed", f"{self.num_bytes / MIB:.0f} MiB wait for the object store (serve.log.max_backlog_mib)", retry_after_s=30
            )
        table = records[0].table if records else ""
        bounds = {PREDICTIONS: self.cfg.max_prediction_backlog_mib, ANSWERS: self.cfg.max_answer_backlog_mib}
        if table in bounds and (waiting := self.backlog[table].num_bytes) + coming > bounds[table] * MIB:
            return Refused("log_failed", f"{waiting / MIB:.0f} MiB of {table} wait (serve.log.max_{table[:-1]}_backlog_mib)")
        return None

    def _insert(self, record: Encoded, now_s: float) -> None:
        statement = f"INSERT INTO {record.table} (at_s, num_bytes, row, data) VALUES (?, ?, ?, ?)"
        self.writer.executemany(statement, [(now_s, *row) for row in record.rows])
        backlog = self.backlog[record.table]
        backlog.num_rows += len(record.rows)
        backlog.num_bytes += record.num_bytes
        backlog.oldest_s = now_s if backlog.oldest_s is None else backlog.oldest_s

    def forget(self, now_s: float) -> None:
        """Forgets event ids that are too old or too many."""
        since_s = now_s - self.cfg.remember_days * 86_400
        while True:
            with self.lock, transaction(self.writer):
                if not self.remembered.forget(since_s, self.cfg.max_remembered, FORGOTTEN_AT_ONCE):
                    return

    def close(self) -> None:
        """Closes both connections; what is written into the log's side file is merged."""
        with self.lock:
            self.reader.close()
            self.writer.close()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 67108864"):
        connection.execute(f"PRAGMA {setting}")
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing, and on the disk once it ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
