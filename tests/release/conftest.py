"""S3 servers for tests of releases."""

from collections.abc import Iterator

import pytest

from tests import moto_s3


@pytest.fixture(scope="session")
def moto() -> Iterator[moto_s3.MotoServer]:
    """An S3 server that honours conditional writes. Tests keep to a prefix of their own."""
    with moto_s3.serving() as server:
        yield server
