"""What leaves the local log, in batches.

A batch is sealed, that is, its rows and its name are settled, before it is put: whoever is killed in between puts the same rows under the
same name. The name holds the day of sealing, the numbers of its rows and a digest of them, so that no two batches ever share one.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from components.errors import BadData
from components.serve.log.journal import MIB, Journal, transaction
from components.serve.log.rows import DROPPABLE, table_of

DELETED_AT_ONCE = 1000  # rows, so that appends need not wait for long

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Batch:
    """Rows `first` to `last` of a table and the key that is theirs in the store. `sent` says that it is there; `old`, that an earlier
    process sealed it and may have put it."""

    table: str
    key: str
    first: int
    last: int
    sent: bool
    old: bool


@dataclass(frozen=True)
class Rows:
    """Rows in order of `seqs`, as they were encoded."""

    seqs: Sequence[int]
    rows: Sequence[bytes]
    blobs: Sequence[bytes | None]

    def digest(self) -> str:
        """16 hex digits of sha256 over every byte."""
        found = hashlib.sha256()
        for row, blob in zip(self.rows, self.blobs, strict=True):
            found.update(b"%d %d " % (len(row), len(blob or b"")) + row + (blob or b""))
        return found.hexdigest()[:16]


class Outbox:
    """Used by one thread. Raises sqlite3.Error where the disk fails."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._old = {key for (key,) in journal.reader.execute("SELECT name FROM batches")}

    def last(self, table: str) -> int:
        """The number of the newest row, 0 where there is none."""
        return int(self.journal.reader.execute(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchone()[0])

    def next(self, table: str, until: int, day: str) -> Batch | None:
        """The batch that is sealed, or one of the oldest rows up to number `until`, named after the day; None where there are no rows."""
        found = self.journal.reader.execute("SELECT name, first, last, sent FROM batches WHERE log = ?", [table]).fetchone()
        if found is None:
            return self._sealed(table, until, day)
        key, first, last, sent = found
        return Batch(table, key, first, last, bool(sent), key in self._old)

    def _sealed(self, table: str, until: int, day: str) -> Batch | None:
        last = self._reach(table, until)
        if not last:
            return None
        rows = self._rows(table, 0, last)
        root = table if table in DROPPABLE else f"events/{table}"
        name = f"{self.journal.instance}-{rows.seqs[0]:012d}-{last:012d}-{rows.digest()}"
        batch = Batch(table, f"{root}/dt={day}/{name}.parquet", rows.seqs[0], last, False, False)
        with self.journal.lock, transaction(self.journal.writer):
            self.journal.writer.execute("INSERT INTO batches VALUES (?, ?, ?, ?, 0)", (batch.key, table, batch.first, last))
        return batch

    def _reach(self, table: str, until: int) -> int:
        """The number up to which the oldest rows make serve.log.flush_mib, one row at least; 0 where there are none."""
        last, num_bytes = 0, 0
        for seq, size in self.journal.reader.execute(f"SELECT seq, num_bytes FROM {table} WHERE seq <= ? ORDER BY seq", [until]):
            if last and num_bytes + size > self.journal.cfg.flush_mib * MIB:
                break
            last, num_bytes = seq, num_bytes + size
        return last

    def rows(self, batch: Batch) -> Rows:
        """The batch's rows."""
        return self._rows(batch.table, batch.first, batch.last)

    def _rows(self, table: str, first: int, last: int) -> Rows:
        query = f"SELECT seq, row, data FROM {table} WHERE seq BETWEEN ? AND ? ORDER BY seq"
        return Rows(*zip(*self.journal.reader.execute(query, (first, last)), strict=True))

    def sent(self, batch: Batch) -> int:
        """How many rows are forgotten, which are in the store. First that they are: whoever is killed halfway does not put what is left."""
        with self.journal.lock, transaction(self.journal.writer):
            self.journal.writer.execute("UPDATE batches SET sent = 1 WHERE name = ?", [batch.key])
        starts = range(batch.first, batch.last + 1, DELETED_AT_ONCE)
        num_rows = sum(self._delete(batch.table, first, min(first + DELETED_AT_ONCE - 1, batch.last)) for first in starts)
        with self.journal.lock, transaction(self.journal.writer):
            self.journal.writer.execute("DELETE FROM batches WHERE name = ?", [batch.key])
        return num_rows

    def _delete(self, table: str, first: int, last: int) -> int:
        writer, backlog = self.journal.writer, self.journal.backlog
        with self.journal.lock:
            with transaction(writer):
                found = f"SELECT count(*), coalesce(sum(num_bytes), 0) FROM {table} WHERE seq BETWEEN ? AND ?"
                num_rows, num_bytes = writer.execute(found, (first, last)).fetchone()
                writer.execute(f"DELETE FROM {table} WHERE seq BETWEEN ? AND ?", (first, last))
                oldest = writer.execute(f"SELECT at_s FROM {table} ORDER BY seq LIMIT 1").fetchone()
            backlog[table].num_rows -= num_rows
            backlog[table].num_bytes -= num_bytes
            backlog[table].oldest_s = oldest[0] if oldest else None
        return int(num_rows)

    def set_aside(self, batch: Batch, why: BadData) -> None:
        """Moves the rows that do not fit their table out of the way, where they are kept; the others are sealed anew."""
        found, table, writer = self.rows(batch), batch.table, self.journal.writer
        bad = [seq for seq, row, blob in zip(found.seqs, found.rows, found.blobs, strict=True) if not _fits(table, row, blob)]
        if not bad:
            raise why
        with self.journal.lock:
            with transaction(writer):
                writer.execute("DELETE FROM batches WHERE name = ?", [batch.key])
                for seq in bad:
                    writer.execute(f"INSERT OR REPLACE INTO {table}_set_aside SELECT * FROM {table} WHERE seq = ?", [seq])
                    writer.execute(f"DELETE FROM {table} WHERE seq = ?", [seq])
            self.journal.backlog[table] = self.journal.counted(table)
        log.error("serve: %d rows of %s no longer fit their table and stay in %s: %s", len(bad), table, self.journal.path, why)


def _fits(table: str, row: bytes, blob: bytes | None) -> bool:
    try:
        table_of(table, [row], [blob])
    except BadData:
        return False
    return True
