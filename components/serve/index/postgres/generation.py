"""A generation in a table of PostgreSQL. Every method is one statement, or one transaction."""

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psycopg.sql import Composed

from components.serve.index import checks
from components.serve.index.generation import About
from components.serve.index.postgres.pool import Connection, Connections
from components.serve.index.postgres.rows import from_row, half, hit_of, to_row
from components.serve.index.postgres.tables import COLUMNS, Statements
from components.serve.items import Filters, Hit, Placed

QUANTILES_TTL_S = 30.0
SHARES = [place / 100 for place in range(101)]


@dataclass
class PostgresGeneration:
    """See components.serve.index.generation.Generation."""

    about: About
    statements: Statements
    connections: Connections
    _quantiles: np.ndarray = field(default_factory=lambda: np.empty(0))
    _quantiles_at_s: float = float("-inf")

    async def search(self, vector_D: np.ndarray, k: int, filters: Filters, *, fingerprint: str, exact: bool = False) -> list[Hit]:
        """The nearest items by the HNSW graph, or by comparison with each where that finds too few."""
        checks.same_space(fingerprint, self.about)
        query = half(checks.query(vector_D, k, filters, self.about))
        rows: list[Any] = []
        for exactly in (False, True) if not exact else (True,):
            statement, values = self.statements.nearest(filters, exact=exactly)
            rows = await self._rows(statement, [query, *values, query, k])
            if len(rows) >= k:
                break
        return sorted(map(hit_of, rows), key=lambda hit: (-hit.cosine, hit.item.item_id))

    async def get(self, item_id: str) -> Placed | None:
        """The item, or None."""
        rows = await self._rows(self.statements.get(), [checks.text(item_id, "item_id")])
        return from_row(rows[0]) if rows else None

    async def put(self, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """How many of the rows were taken; all are committed, or none."""
        return await self._write(rows, fingerprint, wins_ties=True)

    async def fill(self, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """As put(), but what stands there stays unless it is older."""
        return await self._write(rows, fingerprint, wins_ties=False)

    async def _write(self, rows: Sequence[Placed], fingerprint: str, *, wins_ties: bool) -> int:
        checks.same_space(fingerprint, self.about)
        checked = sorted(checks.rows(rows, self.about), key=lambda row: row.item.item_id)  # in one order, so that writers never deadlock
        statement, values = self.statements.upsert(wins_ties=wins_ties), [to_row(row) for row in checked]

        async def act(connection: Connection) -> int:
            async with connection.transaction(), connection.cursor() as cursor:
                await cursor.executemany(statement, values)
                return cursor.rowcount

        return await self.connections.do(act) if checked else 0

    async def delete(self, item_id: str, at: dt.datetime) -> bool:
        """True where the item was there; remembered either way."""
        item_id, at = checks.text(item_id, "item_id"), checks.utc(at, "the time of a deletion")
        return bool((await self._rows(self.statements.delete(), [item_id, item_id, at]))[0][0])

    async def count(self) -> int:
        """How many items can be found."""
        return int((await self._rows(self.statements.count(), []))[0][0])

    async def sample(self, n: int, seed: int) -> list[Placed]:
        """The n items whose ids hash lowest with the seed."""
        return [from_row(row) for row in await self._rows(self.statements.sample(), [str(seed), n, str(seed)])]

    async def page(self, after: str | None, limit: int) -> list[Placed]:
        """The next items by item_id."""
        return [from_row(row) for row in await self._page(after, limit, COLUMNS)]

    async def item_ids(self, after: str | None, limit: int) -> list[str]:
        """The next ids."""
        return [row[0] for row in await self._page(after, limit, ("item_id",))]

    async def _page(self, after: str | None, limit: int, columns: tuple[str, ...]) -> list[Any]:
        return await self._rows(self.statements.page(columns), [checks.text(after or "", "item_id"), limit])

    async def score_quantiles(self) -> np.ndarray:
        """(101,) as of half a minute ago at most."""
        if time.monotonic() - self._quantiles_at_s > QUANTILES_TTL_S:
            found = (await self._rows(self.statements.score_percentiles(), [SHARES]))[0][0]
            self._quantiles, self._quantiles_at_s = np.array(found or [], np.float64), time.monotonic()
        return self._quantiles

    async def forget_deletions(self, before: dt.datetime) -> None:
        """Deletions before that time are no longer remembered."""

        async def act(connection: Connection) -> None:
            await connection.execute(self.statements.forget_deletions(), (before,))

        await self.connections.do(act)

    async def _rows(self, statement: Composed, values: list[Any]) -> list[Any]:
        async def act(connection: Connection) -> list[Any]:
            async with connection.cursor(binary=True) as cursor:
                await cursor.execute(statement, values)
                return await cursor.fetchall()

        return await self.connections.do(act)
