"""The gateway: its parts, held together, and the FastAPI app over them. What `vitrine serve` runs."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from components.serve import golden
from components.serve.access.caller import Caller
from components.serve.asking import Asking
from components.serve.canary.arms import Turn
from components.serve.canary.canary import Canary
from components.serve.catalogue import Catalogue
from components.serve.config import ServeConfig
from components.serve.golden import Passed
from components.serve.log.event_log import EventLog
from components.serve.log.intake import EventIntake
from components.serve.log.predictions import Predictions
from components.serve.meters import Meters
from components.serve.pictures.recent import afresh
from components.serve.problems import Refused
from components.serve.router import Router
from components.serve.served import Served
from components.serve.wire import Asked

log = logging.getLogger("vitrine")

NOBODY = Caller(request_id="golden", key_id=None, scopes=frozenset(), is_probe=True)
STARTING = Passed(("the gateway is starting",))


@dataclass
class Gateway:
    """Everything that routes use. `passed` is the last golden check of the active release; `step` what a starting gateway is at."""

    cfg: ServeConfig
    router: Router
    asking: Asking
    catalogue: Catalogue
    events: EventLog
    intake: EventIntake
    predictions: Predictions
    meters: Meters
    canary: Canary = field(init=False)
    passed: Passed = STARTING
    step: str = "starting"
    app: FastAPI = field(default_factory=FastAPI)

    def within_batch(self, num_rows: int) -> None:
        """Raises Refused invalid where a batch has too many rows."""
        if num_rows > self.cfg.queries.max_batch:
            raise Refused("invalid", f"{num_rows} rows in one batch, at most {self.cfg.queries.max_batch} are taken")

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON that one of our own routes answers with, asked in process as everybody else asks. Raises Refused."""
        transport = httpx.ASGITransport(self._as_nobody, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=self.cfg.queries.timeout_s) as client:
            answer = await client.post(path, json=body)
        found: dict[str, Any] = answer.json()
        if answer.is_error:
            raise Refused(found.get("code", "internal"), found.get("detail", ""))
        return found

    async def _as_nobody(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "state": {"caller": NOBODY}}, receive, send)

    async def check(self, served: Served) -> Passed:
        """What the golden check says of a release; whatever goes wrong on the way is a reason too."""
        try:
            with afresh():
                passed = await golden.check(served, self.cfg.golden, self.ask)
        except Refused as refused:
            passed = Passed((str(refused),), 0.0, 1.0)
        except Exception:  # the check must outlive a mistake of ours, or a broken gateway would stay ready
            log.exception("serve: the golden check of release %s failed", served.release_id[:12])
            passed = Passed(("the golden check failed; the log tells more",), 0.0, 1.0)
        self.meters.golden_cosine.labels(served.release_id[:12]).set(passed.worst_cosine)
        return passed

    async def measure(self) -> None:
        """Brings the gauges up to date."""
        meters, state = self.meters, self.events.state()
        meters.quarantined.set(len(self.asking.pictures.register.entries()))
        meters.log_rows.set(state.backlog_rows)
        meters.log_bytes.set(state.backlog_bytes)
        meters.log_age.set(state.oldest_s)
        meters.dropped.set(state.predictions_dropped)
        self.canary.measure()
        for what, number in self.asking.pictures.decoder.figures().items():
            meters.decoder.labels(what).set(number)
        for served in self.router.served.values():
            meters.items.labels(served.release_id[:12]).set(await served.generation.count())

    def ready(self) -> None:
        """Raises Refused not_ready, with the reasons, where the gateway should not be asked."""
        if not self.passed:
            raise Refused("not_ready", "; ".join((*self.passed.reasons, self.canary.following.waits or self.step)), retry_after_s=5)
        if self.canary.following.waits:
            raise Refused("not_ready", self.canary.following.waits, retry_after_s=5)
        self.router.of()

    async def watch(self) -> None:
        """Asks the golden questions again and again, for as long as the gateway runs."""
        while True:
            await asyncio.sleep(self.cfg.golden.every_s)
            if self.router.active is None:
                continue
            with self.router.of().lease() as served:
                passed = await self.check(served)
            if bool(passed) != bool(self.passed):
                log.warning("serve: %s", "ready again" if passed else f"not ready: {'; '.join(passed.reasons)}")
            self.passed = passed
            self.meters.ready.set(bool(passed))


def caller_of(request: Request) -> Caller:
    """Who asks; our own golden questions come from nobody."""
    caller: Caller = request.state.caller
    return caller


def turn_of(request: Request, asked: Asked) -> Turn:
    """By whom the request is answered; a refusal says so too. Raises Refused."""
    turn = gateway_of(request).canary.arms.turn(caller_of(request), asked)
    request.state.served = turn.served
    return turn


def gateway_of(request: Request) -> Gateway:
    """The gateway that the app belongs to."""
    gateway: Gateway = request.app.state.gateway
    return gateway


class Answer(Response):
    """JSON, written once by orjson, NaN never."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z)


def answered(request: Request, served: Served, began: float, content: dict[str, Any], status: int = 200) -> Answer:
    """The answer of a release, which says which it was."""
    said = {
        "request_id": caller_of(request).request_id,
        "release_id": served.release_id,
        "fingerprint": served.fingerprint,
        "latency_ms": round((time.perf_counter() - began) * 1000, 3),
    }
    request.state.served = served
    return Answer(said | content, status)
