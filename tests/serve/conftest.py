"""What several tests of the gateway share because it takes seconds to make."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of one small untrained model, in fp32 and in int8. Tests read them and leave them as they are."""
    from tests.serve.exported_bundle import export_small

    return export_small(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="session")
def rival(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with another model's bundle for the catalogue of `finished`. Tests read it and leave it as it is."""
    from tests.serve.rival import rival_of

    return rival_of(finished, tmp_path_factory.mktemp("rival") / "shop")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DSN of a PostgreSQL server with pgvector, on a socket. Tests make databases of their own on it."""
    from tests.serve.postgres_server import serving

    with serving() as dsn:
        yield dsn
