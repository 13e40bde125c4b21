"""The generations of all replicas in one database, and the row that says which of them answers."""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.sql import SQL

from components.serve.index import checks
from components.serve.index.alias import rolled_back, switched, without
from components.serve.index.config import PostgresConfig
from components.serve.index.generation import About, Alias
from components.serve.index.postgres.build import build_connection, make_indexes
from components.serve.index.postgres.generation import PostgresGeneration
from components.serve.index.postgres.pool import Connection, Connections
from components.serve.index.postgres.rows import about_of
from components.serve.index.postgres.tables import ABOUT, Statements
from components.serve.items import Placed
from components.serve.problems import Refused

ALIAS: LiteralString = "SELECT active, previous, version FROM vitrine_alias"
INSERT: LiteralString = (
    f"INSERT INTO vitrine_generations ({ABOUT}) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING id"
)


@dataclass
class PostgresStore:
    """See components.serve.index.generation.IndexStore. Any number of replicas may have one open."""

    cfg: PostgresConfig
    connections: Connections
    _alias: Alias | None = None
    _alias_at_s: float = 0.0

    @classmethod
    async def open(cls, cfg: PostgresConfig) -> "PostgresStore":
        """The store in the database that the environment names. Raises BadParams, BadState, Refused index_failed."""
        store, before = cls(cfg, await Connections.open(cfg)), dt.datetime.now(dt.UTC) - dt.timedelta(days=cfg.keep_tombstones_days)
        try:
            for about in await store.generations():
                await (await store.generation(about.name)).forget_deletions(before)
        except BaseException:
            await store.close()
            raise
        return store

    async def generations(self) -> list[About]:
        """All that are kept, oldest first."""
        return [about_of(row) for row in await self._rows(f"SELECT {ABOUT} FROM vitrine_generations ORDER BY created_at, name", [])]

    async def create(self, name: str, *, release_id: str, fingerprint: str, dim: int) -> PostgresGeneration:
        """An empty generation."""
        about = checks.about(name, release_id, fingerprint, dim)

        async def act(connection: Connection) -> int:
            async with connection.transaction():
                row = [about.name, release_id, fingerprint, dim, about.created_at, False]
                found = await (await connection.execute(INSERT, row)).fetchone()
                if found is None:
                    raise Refused("release_refused", f"there is a generation {name} already")
                await connection.execute(Statements(found[0], dim).create())
                return int(found[0])

        return PostgresGeneration(about, Statements(await self.connections.do(act), dim), self.connections)

    async def fill(self, name: str, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """How many of the rows were taken, once they are committed."""
        return await (await self.generation(name)).fill(rows, fingerprint=fingerprint)

    async def finished(self, name: str) -> None:
        """The generation is complete and has its indexes, which are made while rows go on being written."""
        generation = await self.generation(name)
        async with build_connection(self.connections) as connection:
            await make_indexes(connection, generation.statements, self.cfg)
            await connection.execute("UPDATE vitrine_generations SET complete = true WHERE id = %s", (generation.statements.id,))

    async def generation(self, name: str) -> PostgresGeneration:
        """The generation as it stands now."""
        rows = await self._rows(f"SELECT {ABOUT}, id FROM vitrine_generations WHERE name = %s", [checks.text(name, "a generation's name")])
        if not rows:
            raise Refused("release_unknown", f"there is no generation {name!r:.66}")
        about = about_of(rows[0][:-1])
        return PostgresGeneration(about, Statements(rows[0][-1], about.dim), self.connections)

    async def alias(self) -> Alias:
        """Which generation answers, as of alias_ttl_s ago at most."""
        if self._alias is None or time.monotonic() - self._alias_at_s > self.cfg.alias_ttl_s:
            self._remember(Alias(*(await self._rows(ALIAS, []))[0]))
        assert self._alias is not None
        return self._alias

    def _remember(self, alias: Alias) -> Alias:
        self._alias, self._alias_at_s = Alias(alias.active, tuple(alias.previous), alias.version), time.monotonic()
        return self._alias

    async def switch(self, name: str, *, version: int) -> Alias:
        """The alias after the generation became active."""
        about = next((about for about in await self.generations() if about.name == name), None)
        return await self._change(lambda alias: switched(alias, about, version=version))

    async def rollback(self) -> Alias:
        """The alias after the generation before became active again."""
        return await self._change(rolled_back)

    async def drop(self, name: str) -> None:
        """Forgets the generation and removes its table."""
        generation = await self.generation(name)
        await self._change(lambda alias: without(alias, name), generation.statements)

    async def _change(self, change: Callable[[Alias], Alias], dropped: Statements | None = None) -> Alias:
        """Changes the alias, and drops a table, in one transaction; replicas that do so at once wait for each other."""

        async def act(connection: Connection) -> Alias:
            async with connection.transaction():
                (row,) = await (await connection.execute(f"{ALIAS} FOR UPDATE")).fetchall()
                alias = change(Alias(row[0], tuple(row[1]), row[2]))
                values = [alias.active, list(alias.previous), alias.version]
                await connection.execute("UPDATE vitrine_alias SET active = %s, previous = %s, version = %s", values)
                if dropped:
                    await connection.execute("DELETE FROM vitrine_generations WHERE id = %s", (dropped.id,))
                    await connection.execute(SQL("DROP TABLE {}").format(dropped.table))
                return alias

        return self._remember(await self.connections.do(act))

    async def _rows(self, statement: LiteralString, values: list[Any]) -> list[Any]:
        async def act(connection: Connection) -> list[Any]:
            return await (await connection.execute(statement, values)).fetchall()

        return await self.connections.do(act)

    async def close(self) -> None:
        """Lets go of the connections."""
        await self.connections.close()
