"""Event ids that came before, so that each is written once: over flushes and restarts, for so many days and so many ids."""

import sqlite3

from components.serve.log.rows import Encoded

TABLES = """
CREATE TABLE IF NOT EXISTS remembered (key BLOB PRIMARY KEY, said BLOB NOT NULL, at_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS remembered_by_time ON remembered (at_s);
"""


class Remembered:
    """Within transactions of the journal's, on its connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        connection.executescript(TABLES)
        self.recount()

    def recount(self) -> None:
        """Counts the ids anew, as after a transaction that came to nothing."""
        self.count = int(self.connection.execute("SELECT count(*) FROM remembered").fetchone()[0])

    def seen(self, record: Encoded, now_s: float) -> bytes | None:
        """What the event said when it came before; None for a new one, which is remembered from now on."""
        statement = "INSERT INTO remembered VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        if self.connection.execute(statement, (record.key, record.said, int(now_s))).rowcount:
            self.count += 1
            return None
        return bytes(self.connection.execute("SELECT said FROM remembered WHERE key = ?", [record.key]).fetchone()[0])

    def forget(self, since_s: float, max_count: int, at_once: int) -> int:
        """How many of the oldest ids were forgotten: those of before then, and those beyond the bound, `at_once` at most."""
        gone = self._delete("WHERE at_s < ?", (since_s, at_once))
        if not gone and self.count > max_count:
            gone = self._delete("", (min(at_once, self.count - max_count),))
        self.count -= gone
        return gone

    def _delete(self, which: str, values: tuple[float, ...]) -> int:
        chosen = f"SELECT key FROM remembered {which} ORDER BY at_s LIMIT ?"
        return self.connection.execute(f"DELETE FROM remembered WHERE key IN ({chosen})", values).rowcount
