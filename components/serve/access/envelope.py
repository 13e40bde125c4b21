"""The outermost layer: gives each request its id, each answer its headers, and turns what nobody caught into a problem."""

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serve.access.answers import INTERNAL, log_fault, problem_of
from components.serve.access.exchange import Exchange, guarding
from components.serve.problems import Refused

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SMALL_BODY_BYTES = 64 * 1024
LINGER_S = 1.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A request after its answer. `route` is the address as the app declares it, without ids; `code` that of a problem."""

    request_id: str
    method: str
    route: str | None
    status: int
    code: str | None
    key_id: str | None
    platform: str | None
    seconds: float


class Envelope:
    """Request identity, headers and last resort around an app; `answered` is told of each request once it is over."""

    def __init__(self, app: ASGIApp, *, script_hashes: Sequence[str] = (), answered: Callable[[Answered], None] | None = None) -> None:
        self._app = app
        self._guards = guarding(script_hashes)
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await (self._app if scope["type"] == "lifespan" else _no_websocket)(scope, receive, send)
            return
        headers = dict(scope["headers"])
        exchange = Exchange(_id_from(headers), headers, send, self._guards)
        scope.setdefault("state", {})["exchange"] = exchange
        started_s = time.perf_counter()
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._app(inner, receive, exchange.send)
        except Refused as refused:
            await self._refuse(exchange, refused, receive)
        except Exception as error:
            await self._fail(exchange, error, receive)
        finally:
            exchange.end()
            if self._answered is not None:
                self._answered(_account(exchange, scope["method"], inner, time.perf_counter() - started_s))

    async def _fail(self, exchange: Exchange, error: Exception, receive: Receive) -> None:
        """FastAPI answers a fault and then raises it again: that one is over and logged."""
        if exchange.complete:
            return
        log_fault(error, exchange.request_id)
        await self._refuse(exchange, Refused("internal", INTERNAL), receive)

    async def _refuse(self, exchange: Exchange, refused: Refused, receive: Receive) -> None:
        if exchange.complete:
            return
        if exchange.status:
            raise refused  # half of an answer is out: the server can only cut the connection
        exchange.code = refused.code
        problem = problem_of(refused, exchange.request_id)
        closing = not exchange.body_read and (refused.code == "body_too_slow" or has_large_body(exchange.headers))
        headers = [*problem.headers, (b"connection", b"close")] if closing else problem.headers
        await exchange.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": problem.body, "more_body": closing})
        if closing:
            await linger(exchange, refused, receive)
            await exchange.send({"type": "http.response.body", "body": b""})


async def linger(exchange: Exchange, refused: Refused, receive: Receive) -> None:
    """Throws away what still comes, for a moment: closed on unread bytes, a connection is reset, and the caller may lose the answer."""
    if refused.code == "body_too_slow" or b"expect" in exchange.headers:
        return
    message: Message = {"more_body": True}
    try:
        async with asyncio.timeout(LINGER_S):
            while message.get("more_body", False):
                message = await receive()
    except TimeoutError:
        return


def has_large_body(headers: Mapping[bytes, bytes]) -> bool:
    """True where more of the body may follow than is worth reading only to keep the connection."""
    length = headers.get(b"content-length", b"0")
    return b"transfer-encoding" in headers or not length.isdigit() or len(length) > 9 or int(length) > SMALL_BODY_BYTES


def _id_from(headers: Mapping[bytes, bytes]) -> str:
    """The caller's own X-Request-ID where it is a plain word, else a new one."""
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """An id that no other request has: 128 random bits, as a UUID has, without the time that its class takes."""
    return os.urandom(16).hex()


def _account(exchange: Exchange, method: str, scope: Scope, seconds: float) -> Answered:
    caller, route = scope["state"].get("caller"), scope.get("route")
    key_id, platform = (caller.key_id, caller.platform) if caller else (None, None)
    path = getattr(route, "path", None)
    return Answered(exchange.request_id, method, path, exchange.status, exchange.code, key_id, platform, seconds)


async def _no_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})
