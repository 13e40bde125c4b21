"""Making a generation's indexes while rows go on being written to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.sql import SQL, Literal

from components.serve.index.config import PostgresConfig
from components.serve.index.postgres.pool import Connection, Connections, connect, told
from components.serve.index.postgres.tables import BUILD_LOCK, INDEXES, Statements

POLL_S = 0.5
IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


@asynccontextmanager
async def build_connection(connections: Connections) -> AsyncIterator[Connection]:
    """A connection beside the pool whose statements may take as long as they need."""
    with told():
        async with await connect(connections.dsn, connections.cfg) as connection:
            await connection.execute("SET statement_timeout = 0")
            await connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", (f"{connections.cfg.build_memory_mib}MB",))
            yield connection


async def make_indexes(connection: Connection, statements: Statements, cfg: PostgresConfig) -> None:
    """Makes the indexes that are not there, or that a killed replica left half made; by one replica at a time."""
    lock = (BUILD_LOCK, statements.id)
    while not (await (await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", lock)).fetchall())[0][0]:
        await asyncio.sleep(POLL_S)  # a statement that waits would hold up the other's CREATE INDEX CONCURRENTLY
    for name, create in INDEXES.items():
        index = statements.index(name)
        found = await (await connection.execute(IS_VALID, (index.as_string(connection),))).fetchone()
        if found == (True,):
            continue
        await connection.execute(SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index))
        parts = {"table": statements.table, "index": index, "m": Literal(cfg.m), "ef": Literal(cfg.ef_construction)}
        await connection.execute(SQL(create).format(**parts))
    await connection.execute(SQL("ANALYZE {}").format(statements.table))
