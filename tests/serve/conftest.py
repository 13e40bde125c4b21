"""What several tests of the gateway share because it takes seconds to make."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import made_once


@pytest.fixture(scope="session")
def small_exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of one small untrained model, by precision. Tests read them and leave them as they are."""
    from tests.serve.exported_bundle import export_small

    folder = made_once(tmp_path_factory, "exports", export_small)
    return {precision: folder / precision for precision in ("fp32", "int8")}


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DSN of a PostgreSQL server with pgvector, on a socket. Tests make databases of their own on it."""
    from tests.serve.postgres_server import serving

    with serving() as dsn:
        yield dsn
