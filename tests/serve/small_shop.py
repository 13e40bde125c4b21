"""A small app behind the gateway's layers, for tests that need a server but no model."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from components.contract import read_params
from components.errors import BadPicture
from components.serve.access import answers
from components.serve.access.caller import charge
from components.serve.access.config import AccessConfig
from components.serve.access.connection import server_settings
from components.serve.access.in_flight import InFlight
from components.serve.access.key_file import add
from components.serve.access.keys import new_key
from components.serve.access.stack import wrap
from components.serve.access.strict_json import StrictRoute
from components.serve.problems import Refused
from components.serve.queries import Queries
from tests.conftest import PROJECT
from tests.serve.live_server import Live, serve_app

SERVE = read_params(PROJECT / "params.yaml")["serve"]


def access(**changes: Any) -> AccessConfig:
    """`serve.access` of params.yaml, with changes; those of a section are merged into it."""
    told = dict(SERVE["access"])
    for name, value in changes.items():
        told[name] = {**told[name], **value} if isinstance(value, dict) else value
    return AccessConfig.model_validate(told)


def queries(**changes: Any) -> Queries:
    """`serve.queries` of params.yaml, with changes."""
    return Queries.model_validate(SERVE["queries"] | changes)


class Body(BaseModel):
    """What POST takes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    title: Annotated[str, Field(max_length=20)]
    price: float = 0.0


def make_app(seen: list[str]) -> FastAPI:
    """Routes that answer, fail, wait and stream; `seen` learns what became of those that wait."""
    app, router = FastAPI(title="small shop"), APIRouter(prefix="/v1", route_class=StrictRoute)

    @router.get("/items")
    async def items(request: Request) -> dict[str, Any]:
        caller = request.state.caller
        return {name: getattr(caller, name) for name in ("request_id", "key_id", "platform", "app_version", "user_id")}

    @router.post("/items")
    async def upsert(body: Body) -> Body:
        return body

    @router.get("/items/{item_id}")
    async def item(item_id: str) -> dict[str, str]:
        return {"item_id": item_id}

    @router.post("/similar/upload")
    async def upload(picture: Annotated[UploadFile, File()], k: Annotated[int, Form()] = 1) -> dict[str, int]:
        return {"bytes": len(await picture.read()), "k": k}

    @router.post("/embed")
    async def embed(request: Request, rows: list[str]) -> int:
        charge(request.scope, len(rows) - 1)
        return len(rows)

    @router.get("/score")
    async def wait(seconds: float) -> str:
        return await _wait(seconds, "read")

    @router.post("/events")
    async def write(seconds: float) -> str:
        return await _wait(seconds, "write")

    async def _wait(seconds: float, what: str) -> str:
        try:
            seen.append(f"{what} begins")
            await asyncio.sleep(seconds)
            seen.append(f"{what} ends")
        except asyncio.CancelledError:
            seen.append(f"{what} cancelled")
            raise
        return what

    @router.get("/later")
    async def later(tasks: BackgroundTasks, seconds: float) -> str:
        tasks.add_task(_wait, seconds, "later")
        return "at once"

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> Any:
            yield b"begun"
            await asyncio.sleep(30)

        return StreamingResponse(parts())

    @router.get("/fails/{how}")
    async def fails(how: str) -> None:
        raise {"refused": Refused("item_unknown", "no item 'x'"), "picture": BadPicture("picture_truncated", "ends early")}.get(
            how, RuntimeError("secret-of-the-house " * 200)
        )

    @app.get("/health/live")
    async def live() -> str:
        return "live"

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse("<p>page</p>", headers={"cache-control": "no-cache"})

    app.include_router(router)
    answers.install(app)
    return app


class Shop:
    """The app as it is served. `seen` is what became of requests that wait."""

    def __init__(self, live: Live, state: Path, seen: list[str], in_flight: InFlight) -> None:
        self.live, self.state, self.seen, self.in_flight = live, state, seen, in_flight


@contextmanager
def serving_shop(state: Path, cfg: AccessConfig | None = None, asked: Queries | None = None, **edges: Any) -> Iterator[Shop]:
    """The small shop behind all layers, on the bounded connection, until the block ends."""
    cfg, asked, seen = cfg or access(), asked or queries(), []
    in_flight = InFlight(cfg.in_flight)
    app = wrap(make_app(seen), cfg, asked, state, in_flight=in_flight, **edges)
    with serve_app(app, **server_settings(cfg.connections)) as live:
        yield Shop(live, state, seen, in_flight)


def key_for(state: Path, *scopes: str, rate: float = 1000.0, burst: int = 1000) -> str:
    """A key that the gateway over `state` takes, once it has looked at its file."""
    key, row = new_key(list(scopes), rate, burst, "", dt.datetime.now(dt.UTC), None)
    add(state / "keys.json", row)
    return key
