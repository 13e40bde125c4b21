"""The gateway put together: parts opened in order, routes mounted, background work started and ended with the server."""

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from components.errors import VitrineError
from components.ingest.admit import Rules
from components.neighbours import IndexConfig
from components.objects import open_store
from components.releases import RELEASES
from components.serve.access import answers
from components.serve.access.in_flight import InFlight
from components.serve.access.stack import wrap
from components.serve.asking import Asking
from components.serve.brought import Brought
from components.serve.canary.admission import Admission
from components.serve.canary.answers import AnswerLog
from components.serve.canary.arms import Arms
from components.serve.canary.canary import Canary
from components.serve.canary.edge import edge_at
from components.serve.canary.following import Following
from components.serve.canary.remembered import Remembered
from components.serve.canary.shadow import Shadows
from components.serve.catalogue import Catalogue
from components.serve.config import ServeConfig
from components.serve.description import describe
from components.serve.gateway import Gateway
from components.serve.index.store import open_index
from components.serve.inference.open import open_inference
from components.serve.lifecycle import Lifecycle
from components.serve.log.event_log import EventLog
from components.serve.log.intake import EventIntake
from components.serve.log.predictions import Predictions
from components.serve.log.users import UserHash
from components.serve.meters import Meters
from components.serve.photo_store import PhotoStore
from components.serve.pictures.fetch import Fetcher
from components.serve.pictures.seen import Pictures
from components.serve.router import Router
from components.serve.routes import channel, embed, events, health, items, page, quarantine, releases, score, similar
from components.serve.seed import Seed
from components.serve.served import Served
from components.serve.stamp import Stamp

log = logging.getLogger("vitrine")

ROUTES = (similar, score, embed, items, events, releases, channel, quarantine, health, page)


@dataclass(frozen=True)
class Start:
    """What a gateway starts from: the digest of the bundle that it is to serve, its first catalogue, how the line builds an index,
    what it asks of a listing as of a time, where bundles lie, and the registry whose channel record it follows."""

    release_id: str | None
    seed: Seed | None
    index: IndexConfig
    rules: Callable[[dt.datetime], Rules]
    releases: Path = RELEASES
    registry: str | None = None


def make_app(cfg: ServeConfig, start: Start, *, ended: Callable[[Exception], None]) -> FastAPI:
    """The app. It answers at once that it lives, and that it is ready once `start` is served; `ended` is called where that cannot be."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                gateway = await _opened(app, cfg, start, stack)
            except VitrineError as error:
                ended(error)
            else:
                lifecycle = app.state.lifecycle
                work = [_serve(lifecycle, start, ended), gateway.watch(), lifecycle.follow(), gateway.canary.follow()]
                await stack.enter_async_context(_in_background(work))
            yield

    app = FastAPI(title="Vitrine", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.meters = Meters()
    answers.install(app)
    for module in ROUTES:
        app.include_router(module.router)
    describe(app)
    return app


def layered(app: FastAPI, cfg: ServeConfig) -> ASGIApp:
    """The app behind everything that a request passes: what is served over HTTP. Raises BadParams where the API keys cannot be read."""

    def active() -> Served | None:
        gateway: Gateway | None = getattr(app.state, "gateway", None)
        return gateway.router.served.get(gateway.router.active or "") if gateway else None

    meters: Meters = app.state.meters
    in_flight = InFlight(cfg.access.in_flight)
    meters.in_flight.set_function(lambda: in_flight.total)
    return Stamp(wrap(app, cfg.access, cfg.queries, Path(cfg.state), in_flight=in_flight, answered=meters.count), active)


async def _opened(app: FastAPI, cfg: ServeConfig, start: Start, stack: AsyncExitStack) -> Gateway:
    """The gateway with its parts, which the stack closes in turn."""
    state = Path(cfg.state)
    state.mkdir(parents=True, exist_ok=True)
    store = open_store(cfg.store)
    index = await open_index(cfg.index, state, start.index)
    router = Router(index, start.releases, lambda folder: open_inference(cfg.inference, folder, state))
    stack.push_async_callback(router.close)
    max_picture_bytes = cfg.queries.max_picture_mib * 2**20
    events = await EventLog.open(state, store, cfg.log)
    stack.push_async_callback(events.close)
    pictures = await Pictures.open(cfg.pictures, state, max_bytes=max_picture_bytes)
    stack.push_async_callback(pictures.close)
    asking = Asking(pictures, PhotoStore(store), Fetcher(cfg.urls, max_bytes=max_picture_bytes), cfg.queries)
    hashed = UserHash.open(state)
    intake = EventIntake.of(events, cfg.log, hashed)
    predictions = Predictions(events, cfg.log.prediction_share)
    gateway = Gateway(cfg, router, asking, Catalogue(router, asking, events, start.rules), events, intake, predictions, app.state.meters)
    gateway.app, app.state.gateway, app.state.lifecycle = app, gateway, Lifecycle(gateway, start.seed)
    gateway.canary = await _canary(gateway, app.state.lifecycle, start.registry, AnswerLog(events, hashed, cfg.queries.timeout_s))
    stack.push_async_callback(gateway.canary.close)
    return gateway


async def _canary(gateway: Gateway, lifecycle: Lifecycle, registry: str | None, answers: AnswerLog) -> Canary:
    """What follows the channel record. Raises BadState where what is kept of it is damaged."""
    cfg, router, meters = gateway.cfg, gateway.router, gateway.meters
    kept = await asyncio.to_thread(Remembered.open, Path(cfg.state), registry or "")
    following = Following(edge_at(registry or ""), cfg.channel, kept)
    admission = Admission(router, lifecycle, following, cfg.channel)
    shadows = Shadows(answers, meters, cfg.channel.max_shadows, cfg.queries.timeout_s)
    arms = Arms(router, following, admission, answers, shadows, meters)
    return Canary(registry, router, following, admission, arms, gateway.events, meters, cfg.channel, cfg.log.canary_flush_s)


async def _serve(lifecycle: Lifecycle, start: Start, ended: Callable[[Exception], None]) -> None:
    canary = lifecycle.gateway.canary
    try:
        await lifecycle.start(await canary.first(start.release_id), Brought(Path(lifecycle.gateway.cfg.state)))
        await canary.settle()
    except Exception as error:
        if not isinstance(error, VitrineError):
            log.exception("serve: the gateway cannot start")
        ended(error)
        return
    log.info("serve: ready, release %s", str(lifecycle.gateway.router.active)[:12])


@asynccontextmanager
async def _in_background(work: list[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
