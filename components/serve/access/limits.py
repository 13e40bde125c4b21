"""How large a request may be, how long it may take, and how many may be worked on at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serve.access.exchange import Exchange, exchange_of
from components.serve.access.in_flight import InFlight
from components.serve.access.scopes import group_of, needed
from components.serve.problems import Refused

BODILESS = frozenset(("GET", "HEAD"))
EMPTY: Message = {"type": "http.request", "body": b"", "more_body": False}
MIB = 2**20
LATE, GONE = "late", "gone"


def is_watch(path: str) -> bool:
    """True for what tells how the gateway does: it is answered however much there is to do."""
    return path == "/metrics" or path.startswith("/health/")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Of one request. `disconnect_check_s` is after how long the gateway begins to watch whether the caller is still there."""

    max_body_bytes: int
    body_timeout_s: float
    timeout_s: float
    disconnect_check_s: float
    max_url_bytes: int


class Limits:
    """Takes the body whole before the app sees the request, so that a slow caller holds memory but no place among those worked on."""

    def __init__(self, app: ASGIApp, bounds: Bounds, in_flight: InFlight) -> None:
        self._app, self._bounds, self._in_flight = app, bounds, in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or is_watch(scope["path"]):
            await self._app(scope, receive, send)
            return
        exchange, group = exchange_of(scope), group_of(scope["path"])
        has_body = self._check(scope, exchange.headers)
        if not has_body:
            exchange.body_read = True
            await self._work(scope, Replay(EMPTY, receive), send, group)
            return
        self._in_flight.check(group)  # before the body is read for nothing
        buffered = Buffered(self._in_flight)
        try:
            message = await self._body(receive, buffered)
            if message is not None:
                exchange.body_read = True
                await self._work(scope, Replay(message, receive), send, group)
        finally:
            buffered.release()

    def _check(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
        """True where a body follows. Raises Refused for what its first lines rule out."""
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._bounds.max_url_bytes:
            raise Refused("url_too_long", f"the address is longer than {self._bounds.max_url_bytes} bytes")
        length, chunked = headers.get(b"content-length"), b"transfer-encoding" in headers
        if length is None and not chunked:
            return False
        if length is not None and (chunked or not length.isdigit()):
            raise Refused("bad_request", "the body's length cannot be told: one whole Content-Length, or chunks")
        if length is not None and (len(length) > 15 or int(length) > self._bounds.max_body_bytes):
            raise self._too_large()
        if not chunked and int(length or b"0") == 0:
            return False
        if scope["method"] in BODILESS:
            raise Refused("bad_request", f"{scope['method']} takes no body")
        return True

    def _too_large(self) -> Refused:
        return Refused("body_too_large", f"a body may hold {self._bounds.max_body_bytes // MIB} MiB")

    async def _body(self, receive: Receive, buffered: "Buffered") -> Message | None:
        """The whole body as one message, or None where the caller went away."""
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._bounds.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunks.append(message.get("body", b""))
                    if buffered.add(len(chunks[-1])) > self._bounds.max_body_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Refused("body_too_slow", f"the body did not come whole within {self._bounds.body_timeout_s:g} s") from None
        return {"type": "http.request", "body": chunks[0] if len(chunks) == 1 else b"".join(chunks), "more_body": False}

    async def _work(self, scope: Scope, receive: "Replay", send: Send, group: str) -> None:
        self._in_flight.enter(group)
        scope_needed = needed(scope["method"], scope["path"])
        try:
            if scope_needed == "admin":  # a release may take minutes to load, and is loaded whether or not the caller waits
                await self._app(scope, receive, send)
            else:  # what changes something is carried through, whether or not the caller waits
                await self._watched(scope, receive, send, leaves=scope_needed == "read")
        finally:
            self._in_flight.leave(group)

    async def _watched(self, scope: Scope, receive: "Replay", send: Send, *, leaves: bool) -> None:
        watch = Watch(exchange_of(scope), receive, self._bounds, leaves=leaves)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if watch.reason is None:
                raise
            watch.settle()
        finally:
            watch.end()


class Buffered:
    """One body's share of what the gateway holds in bodies."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._bytes = 0

    def add(self, count: int) -> int:
        """Bytes so far. Raises Refused overloaded where all bodies together hold too much."""
        self._in_flight.hold(count)
        self._bytes += count
        return self._bytes

    def release(self) -> None:
        """Gives the share back."""
        self._in_flight.hold(-self._bytes)


class Replay:
    """`receive` for an app: the body first, then nothing until the caller has gone."""

    def __init__(self, body: Message, receive: Receive) -> None:
        self._body: Message | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """The next message."""
        if self._body is not None:
            body, self._body = self._body, None
            return body
        return await self.gone()

    async def gone(self) -> Message:
        """http.disconnect, once the caller has gone or was answered."""
        while (message := await self._receive())["type"] != "http.disconnect":
            pass
        return message


class Watch:
    """Cancels the running task where it takes longer than it may, or, if it `leaves`, where its caller goes away before the answer is out.

    It begins late, with a timer alone, since most answers are out by then, and a second task costs as much as all other checks together.
    """

    __slots__ = ("_bounds", "_exchange", "_leaves", "_receive", "_task", "_timer", "_watching", "reason")

    def __init__(self, exchange: Exchange, receive: Replay, bounds: Bounds, *, leaves: bool) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self.reason: str | None = None
        self._task, self._exchange, self._receive, self._bounds, self._leaves = task, exchange, receive, bounds, leaves
        self._watching: asyncio.Task[None] | None = None
        self._timer = loop.call_later(min(bounds.disconnect_check_s, bounds.timeout_s), self._begin)

    def end(self) -> None:
        """Stops watching."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def settle(self) -> None:
        """Ends the cancelling that it began. Raises Refused too_slow, unless nobody is left to be answered."""
        self._task.uncancel()
        if self.reason == LATE:
            raise Refused("too_slow", f"there was no answer within {self._bounds.timeout_s:g} s", retry_after_s=1) from None

    def _begin(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        rest_s = max(0.0, self._bounds.timeout_s - self._bounds.disconnect_check_s)
        try:
            async with asyncio.timeout(rest_s):
                await (self._receive.gone() if self._leaves else asyncio.Event().wait())
                if self._exchange.complete:  # what runs after the answer
                    await asyncio.Event().wait()
            self.reason = GONE
        except TimeoutError:
            self.reason = LATE
        self._task.cancel()
