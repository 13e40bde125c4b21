"""An operator gets through however busy the gateway is, and may take as long as it takes."""

import asyncio
import threading

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from components.serve.access import answers
from components.serve.access.in_flight import InFlight
from components.serve.access.stack import wrap
from tests.serve.live_server import serve_app
from tests.serve.small_shop import access, queries

HOLDING_S = 1.5


def make_app() -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/v1")

    @router.post("/similar")
    @router.post("/releases")
    async def slow() -> str:
        await asyncio.sleep(HOLDING_S)
        return "done"

    @router.post("/releases/rollback")
    async def rollback() -> str:
        return "back"

    app.include_router(router)
    answers.install(app)
    return app


@pytest.fixture
def busy(tmp_path):
    """A gateway with one place, which somebody's slow request holds; requests may take a second."""
    cfg = access(in_flight={"total": 1})
    with (
        serve_app(wrap(make_app(), cfg, queries(timeout_s=1.0), tmp_path, in_flight=InFlight(cfg.in_flight))) as live,
        httpx.Client(base_url=live.url, timeout=10) as client,
    ):
        holder = threading.Thread(target=lambda: httpx.post(f"{live.url}/v1/similar", timeout=10))
        holder.start()
        while client.post("/v1/similar").json().get("code") != "overloaded":
            pass
        yield client
        holder.join()


def test_going_back_to_the_last_release_is_answered_though_every_place_is_taken(busy):
    assert busy.post("/v1/similar").json()["code"] == "overloaded"
    assert busy.post("/v1/releases/rollback").json() == "back"


def test_loading_a_release_may_take_longer_than_an_answer(busy):
    assert busy.post("/v1/releases").json() == "done"
