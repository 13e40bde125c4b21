"""An operator gets through however busy the gateway is, and may take as long as it takes."""

import asyncio

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from components.serve.access import answers
from components.serve.access.in_flight import InFlight
from components.serve.access.stack import wrap
from tests.serve.live_server import serve_app
from tests.serve.small_shop import access, queries

SLOW_S = 1.0


def make_app() -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/v1")

    @router.post("/similar")
    @router.post("/releases")
    async def slow() -> str:
        await asyncio.sleep(SLOW_S)
        return "done"

    @router.post("/releases/rollback")
    async def rollback() -> str:
        return "back"

    app.include_router(router)
    answers.install(app)
    return app


@pytest.fixture
def busy(tmp_path):
    """A gateway whose one place is taken, and whose requests may take half a second."""
    cfg = access(in_flight={"total": 1})
    in_flight = InFlight(cfg.in_flight)
    in_flight.enter("similar")
    layers = wrap(make_app(), cfg, queries(timeout_s=0.5), tmp_path, in_flight=in_flight)
    with serve_app(layers) as live, httpx.Client(base_url=live.url, timeout=10) as client:
        yield client


def test_going_back_to_the_last_release_is_answered_though_every_place_is_taken(busy):
    assert busy.post("/v1/similar").json()["code"] == "overloaded"
    assert busy.post("/v1/releases/rollback").json() == "back"


def test_loading_a_release_may_take_longer_than_an_answer(busy):
    assert busy.post("/v1/releases").json() == "done"
