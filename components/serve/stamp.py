"""The outermost layer: every answer, refusals and pages included, says which release and which vector space it is of."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serve.served import Served

NONE = ((b"x-release-id", b"none"), (b"x-fingerprint", b"none"))


class Stamp:
    """Adds X-Release-Id and X-Fingerprint: of the release that answered (`scope["state"]["served"]`), else of the active one."""

    def __init__(self, app: ASGIApp, active: Callable[[], Served | None]) -> None:
        self._app, self._active = app, active

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                served = state.get("served") or self._active()
                message = {**message, "headers": [*message.get("headers", ()), *(served.stamp if served else NONE)]}
            await send(message)

        await self._app(scope, receive, stamped)
