"""A gateway with two releases, and a browser, for the tests of its page."""

import pytest

from components import releases
from tests.browser.visitor import chromium, visiting
from tests.serve.gateway import running
from tests.serve.rival import LENIENT


@pytest.fixture(scope="session")
def shop(finished, rival, tmp_path_factory):
    """A gateway with the finished bundle and a rival beside it. Tests add items of their own and change none."""
    with running(finished, tmp_path_factory.mktemp("page") / "state", LENIENT) as gateway:
        new = releases.keep(rival / "bundle", gateway.gateway.router.folder)
        loaded = gateway.client.post("/v1/releases", json={"release_id": new})
        assert loaded.status_code == 200, loaded.text
        yield gateway


@pytest.fixture(scope="module")
def browser():
    """Chromium, one for each file: its driver keeps an event loop in this thread, which other files' tests must not meet."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser, shop):
    """A window at a desk."""
    with visiting(browser, shop.url) as visit:
        yield visit
