"""A shop's bare repository and two clones of it."""

import pytest

from tests.flows.shop_repository import SETTINGS, make_origin


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """No settings of the reader's own git are read."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, SETTINGS[name])


@pytest.fixture
def origin(tmp_path):
    return make_origin(tmp_path)


@pytest.fixture
def shop(origin, tmp_path):
    return origin.clone(tmp_path / "shop")


@pytest.fixture
def rival(origin, tmp_path):
    return origin.clone(tmp_path / "rival")
