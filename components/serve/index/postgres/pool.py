"""Connections to PostgreSQL: a bounded pool, and every way in which it fails as a Refused."""

import logging
import math
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types import TypeInfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from components.errors import BadParams, BadState
from components.serve.index.config import PostgresConfig
from components.serve.index.postgres.tables import SCHEMA, SCHEMA_LOCK
from components.serve.problems import Refused

DSN = "VITRINE_POSTGRES_DSN"
PGVECTOR_AT_LEAST = (0, 8)  # for iterative scans
RETRY_S = 2.0

log = logging.getLogger("vitrine")

Connection = AsyncConnection[TupleRow]
T = TypeVar("T")


@dataclass(frozen=True)
class Connections:
    """The pool of one replica. The DSN stays in it: it is neither shown nor logged."""

    pool: "AsyncConnectionPool[Connection]"
    cfg: PostgresConfig
    dsn: str = field(repr=False)

    @classmethod
    async def open(cls, cfg: PostgresConfig, environ: Mapping[str, str] = os.environ) -> "Connections":
        """A pool on a database that has our tables. Raises BadParams, BadState, or Refused index_failed."""
        if not (dsn := environ.get(DSN)):
            raise BadParams(f"serve.index.backend is postgres: say in the environment variable {DSN} where it is")
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # its warnings quote the address; we say ourselves what fails
        with told():
            await _prepare(dsn, cfg)
        pool = AsyncConnectionPool(
            dsn,
            kwargs={"autocommit": True, "connect_timeout": max(2, math.ceil(cfg.connect_timeout_s))},
            min_size=min(2, cfg.pool_size),
            max_size=cfg.pool_size,
            max_waiting=cfg.max_waiting,
            timeout=cfg.connect_timeout_s,
            configure=lambda connection: _configure(connection, cfg),
            open=False,
        )
        with told():
            await pool.open(wait=True, timeout=cfg.connect_timeout_s)  # which closes it where that fails
        return cls(pool, cfg, dsn)

    async def do(self, act: Callable[[Connection], Awaitable[T]]) -> T:
        """What act() returns, called once more where its connection turns out to be broken: it must do no harm twice. Raises Refused."""
        try:
            return await self._once(act)
        except psycopg.Error as error:
            if not _is_broken(error):
                raise await self._refused(error) from None
        await self.pool.check()  # the others were broken by the same restart
        try:
            return await self._once(act)
        except psycopg.Error as error:
            raise await self._refused(error) from None

    async def _once(self, act: Callable[[Connection], Awaitable[T]]) -> T:
        async with self.pool.connection() as connection:
            return await act(connection)

    async def _refused(self, error: psycopg.Error) -> Refused:
        if isinstance(error, TooManyRequests):
            return Refused("overloaded", "too many requests wait for the index already", retry_after_s=RETRY_S)
        if isinstance(error, PoolTimeout) and await self._is_up():
            return Refused("overloaded", "no connection to the index became free in time", retry_after_s=RETRY_S)
        return refused(error)

    async def _is_up(self) -> bool:
        try:
            await (await connect(self.dsn, self.cfg)).close()
        except psycopg.Error:
            return False
        return True

    async def close(self) -> None:
        """Ends every connection."""
        await self.pool.close()


def refused(error: psycopg.Error) -> Refused:
    """What a caller is told. Details stay here: a server's message may quote rows."""
    if isinstance(error, psycopg.errors.UndefinedTable):
        return Refused("release_unknown", "the generation was dropped")
    if isinstance(error, psycopg.DataError):
        return Refused("invalid", "the index's database cannot hold a value of this request")
    if isinstance(error, psycopg.errors.QueryCanceled):
        return Refused("too_slow", "the index's database took too long", retry_after_s=RETRY_S)
    log.error("index: PostgreSQL: %s %s", type(error).__name__, error.sqlstate or "")
    return Refused("index_failed", "the index's database cannot be reached or refuses", retry_after_s=RETRY_S)


@contextmanager
def told() -> Iterator[None]:
    """Failures of the block as Refused."""
    try:
        yield
    except psycopg.Error as error:
        raise refused(error) from None


def _is_broken(error: psycopg.Error) -> bool:
    """True where the connection is gone, and not where the pool is exhausted or the server refuses a statement."""
    gone = isinstance(error, psycopg.errors.AdminShutdown | psycopg.errors.CrashShutdown | psycopg.errors.IdleSessionTimeout)
    of_pool = isinstance(error, PoolTimeout | TooManyRequests | PoolClosed)
    return gone or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None and not of_pool)


async def connect(dsn: str, cfg: PostgresConfig) -> Connection:
    """A connection beside the pool."""
    return await AsyncConnection.connect(dsn, autocommit=True, connect_timeout=max(2, math.ceil(cfg.connect_timeout_s)))


async def _prepare(dsn: str, cfg: PostgresConfig) -> None:
    """Makes our tables where they are not; replicas that start together wait for each other."""
    async with await connect(dsn, cfg) as connection:
        await connection.execute("SELECT set_config('statement_timeout', %s, false)", (f"{cfg.statement_timeout_s * 1000:.0f}",))
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            await connection.execute(SCHEMA)
        found = await (await connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")).fetchone()
    version = str(found[0]) if found else "none"
    if not found or tuple(int(part) for part in version.split(".")[:2]) < PGVECTOR_AT_LEAST:
        wanted = ".".join(map(str, PGVECTOR_AT_LEAST))
        raise BadState(f"pgvector {wanted} or later is needed, the database has {version}: try ALTER EXTENSION vector UPDATE")


async def _configure(connection: Connection, cfg: PostgresConfig) -> None:
    """What holds for every statement of a connection."""
    settings = {
        "statement_timeout": f"{cfg.statement_timeout_s * 1000:.0f}",
        "synchronous_commit": "on",  # an acknowledged write is on the disk
        "timezone": "UTC",
        "plan_cache_mode": "force_custom_plan",  # which way is best depends on the filters' values
        "hnsw.ef_search": str(cfg.ef_search),
        "hnsw.iterative_scan": "relaxed_order",  # until enough rows pass the filters; we sort the few that come back
    }
    for name, value in settings.items():
        await connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    info = await TypeInfo.fetch(connection, "halfvec")
    if info is None:
        raise psycopg.OperationalError("the type halfvec is gone")
    register_halfvec_info(connection, info)
