"""One request and its answer, as the layers of the gateway share it: `scope["state"]["exchange"]`."""

from collections.abc import Iterable, Mapping, Sequence

from starlette.types import Message, Scope, Send

Header = tuple[bytes, bytes]

POLICY = frozenset((b"content-security-policy", b"cross-origin-resource-policy", b"referrer-policy", b"cache-control"))
NOSNIFF: Header = (b"x-content-type-options", b"nosniff")


def guarding(script_hashes: Sequence[str] = ()) -> tuple[Header, ...]:
    """The headers that keep a browser safe. An answer's own cache-control or policy wins over the one here.

    `script_hashes` are those of inline scripts, such as `sha256-...`; no other inline script runs.
    """
    scripts = " ".join(["'self'", *(f"'{digest}'" for digest in script_hashes)])
    policy = (
        f"default-src 'self'; script-src {scripts}; img-src 'self' data: blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return (
        (b"content-security-policy", policy.encode()),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
    )


class Exchange:
    """What is known of a request, and how far its answer has come. `headers` has the last of each name, in lower case.

    `body_read` says that nothing of the request's body is left on the connection; `code` is that of a refusal.
    """

    __slots__ = ("_guards", "_send", "body_read", "code", "complete", "headers", "rate_headers", "request_id", "status")

    def __init__(self, request_id: str, headers: Mapping[bytes, bytes], send: Send, guards: tuple[Header, ...]) -> None:
        self.request_id = request_id
        self.headers = headers
        self.rate_headers: tuple[Header, ...] = ()
        self.body_read = False
        self.code: str | None = None
        self.status = 0
        self.complete = False
        self._send = send
        self._guards = guards

    async def send(self, message: Message) -> None:
        """Passes the answer on, with the headers that every answer carries."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = message.get("headers", ())
            request_id = (b"x-request-id", self.request_id.encode())
            headers = [*own, *self._guards_beside(own), NOSNIFF, request_id, *self.rate_headers]
            message = {"type": "http.response.start", "status": self.status, "headers": headers}
        elif not message.get("more_body", False):
            self.complete = True
        await self._send(message)

    def end(self) -> None:
        """Lets go of the connection: it holds the request's scope, which holds this, and such rings are freed late and at a price."""
        self._send = _over

    def _guards_beside(self, own: Iterable[Header]) -> Sequence[Header]:
        for name, _ in own:
            if name in POLICY:
                names = {name for name, _ in own}
                return [guard for guard in self._guards if guard[0] not in names]
        return self._guards


async def _over(message: Message) -> None:
    raise RuntimeError("the request is over")


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that the scope belongs to."""
    exchange: Exchange = scope["state"]["exchange"]
    return exchange
