"""What a generation holds, in SQLite: the newest version of each item and each deletion, numbered in the order in which they were written.

Every change gets the next `seq`, so that whoever holds all up to some seq asks for what came after. The write-ahead log is synced at each
commit: what apply() returned for is there after a kill or a power cut.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from components.errors import BadState
from components.serve.index.embedded.codec import microseconds
from components.serve.index.generation import About

FORMAT = 1
FILE = "items.sqlite"
SETTINGS = ("PRAGMA page_size = 8192", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 30000")
TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE items (
  item_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER, row BLOB, vector BLOB
);
CREATE INDEX items_by_seq ON items (seq);
"""  # vectors stand last, so that reading the rest does not touch their pages; a deletion has the time of its writing instead of both blobs
WRITE = """
INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (item_id) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at, deleted_at = excluded.deleted_at,
  row = excluded.row, vector = excluded.vector
WHERE excluded.updated_at {newer} items.updated_at
"""
WRITES = {True: WRITE.format(newer=">="), False: WRITE.format(newer=">")}


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of an item, or its deletion where `row` is None. `wins_ties`: it replaces what has the same time (microseconds)."""

    item_id: str
    updated_at: int
    row: bytes | None = None
    vector: bytes | None = None
    wins_ties: bool = True


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Damage that is met in the block as BadState, with what to do about it."""
    try:
        yield
    except (sqlite3.DatabaseError, BadState) as error:
        raise BadState(
            f"{path} cannot be read ({error}). Restore it from a backup, or move {path.parent} away and build the generation again"
        ) from None


class Journal:
    """One connection, used by one thread at a time; others read through read()."""

    def __init__(self, folder: Path) -> None:
        """Raises BadState where the database is missing, damaged or of another version."""
        self.path = folder / FILE
        if not self.path.is_file():
            raise BadState(f"{self.path} is missing: restore it from a backup, or move {folder} away and build the generation again")
        with told(self.path):
            self._connection = _connect(self.path)
            facts = dict(self._connection.execute("SELECT name, value FROM facts"))
            if (found := facts.get("format")) != str(FORMAT):
                raise BadState(f"format {found}, this version reads {FORMAT}")
            self.about, self.seq = _about_of(facts), int(facts["seq"])

    @staticmethod
    def create(folder: Path, about: About) -> None:
        """An empty journal in a new folder."""
        folder.mkdir(parents=True)
        connection = _connect(folder / FILE)
        with connection:
            connection.executescript(TABLES)
            connection.executemany("INSERT INTO facts VALUES (?, ?)", [("format", str(FORMAT)), ("about", _json(about)), ("seq", "0")])
        connection.close()

    def apply(self, changes: Sequence[Change]) -> list[int]:
        """The seq of each change, 0 where something newer stands; all are durable, or none where this raises sqlite3.Error."""
        seq, seqs, now = self.seq, [], microseconds(dt.datetime.now(dt.UTC))
        with self._transaction() as connection:
            for change in changes:
                values = (change.item_id, seq + 1, change.updated_at, now if change.row is None else None, change.row, change.vector)
                wrote = connection.execute(WRITES[change.wins_ties], values).rowcount
                seq += wrote
                seqs.append(seq if wrote else 0)
            connection.execute("UPDATE facts SET value = ? WHERE name = 'seq'", (str(seq),))
        self.seq = seq
        return seqs

    def complete(self) -> About:
        """The generation's identity from now on: complete."""
        about = replace(self.about, complete=True)
        with self._transaction() as connection:
            connection.execute("UPDATE facts SET value = ? WHERE name = 'about'", (_json(about),))
        self.about = about
        return about

    def forget_deletions(self, before: dt.datetime) -> int:
        """How many deletions written before that are no longer remembered: older versions that still come bring their items back."""
        with self._transaction() as connection:
            return connection.execute("DELETE FROM items WHERE deleted_at < ?", (microseconds(before),)).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A group of statements, kept as a whole; the connection is in autocommit otherwise."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def rows(self) -> Iterator[tuple[str, int, bytes]]:
        """item_id, seq and row of every item that is there, in no order. Raises BadState."""
        with told(self.path):
            yield from self._connection.execute("SELECT item_id, seq, row FROM items WHERE row IS NOT NULL")

    def changed_after(self, seq: int) -> Iterator[tuple[bytes, bytes]]:
        """Row and vector of every item that is there and was written after `seq`, oldest first. Raises BadState."""
        with told(self.path):
            yield from self._connection.execute("SELECT row, vector FROM items WHERE seq > ? AND row IS NOT NULL ORDER BY seq", (seq,))

    def close(self) -> None:
        """Folds the write-ahead log into the database and lets go of both."""
        self._connection.close()


def read_page(path: Path, after: str | None, limit: int, columns: str) -> list[tuple[bytes, ...]]:
    """The next rows by item_id that are there, from any thread. Raises BadState."""
    with told(path):
        connection = _connect(path)
        try:
            return connection.execute(
                f"SELECT {columns} FROM items WHERE item_id > ? AND row IS NOT NULL ORDER BY item_id LIMIT ?", (after or "", limit)
            ).fetchall()
        finally:
            connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    for setting in SETTINGS:
        connection.execute(setting)
    return connection


def _about_of(facts: Mapping[str, str]) -> About:
    try:
        about = json.loads(facts["about"])
        return About(**about | {"created_at": dt.datetime.fromisoformat(about["created_at"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BadState(f"its facts are damaged: {error!r}") from None


def _json(about: About) -> str:
    return json.dumps(asdict(about) | {"created_at": about.created_at.isoformat()})
