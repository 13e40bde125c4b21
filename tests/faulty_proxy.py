"""A loopback proxy before an HTTP server, which fails, loses answers or hangs as a test tells it."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP = ("connection", "keep-alive", "transfer-encoding")
BROKEN = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"


class Fate(Enum):
    """What becomes of a request."""

    PASSED = "passed on"
    REFUSED = "answered 500, not passed on"
    LOST = "passed on and done, but answered 500"
    CUT = "passed on, and its answer cut off in the middle"
    HUNG = "neither passed on nor answered"


Choice = Callable[[str, str], Fate]


@dataclass
class Proxy:
    """`choose` gives the fate of a request by its method and path, and may be exchanged at any time; `seen` counts them. Each is answered
    after `delay_s`."""

    port: int
    upstream: int
    choose: Choice
    seen: list[tuple[str, str, Fate]] = field(default_factory=list)
    delay_s: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fate_of(self, method: str, path: str) -> Fate:
        """One at a time, so that a seeded choice is the same in every run."""
        with self.lock:
            self.seen.append((method, path, self.choose(method, path)))
            return self.seen[-1][2]

    def num(self, fate: Fate) -> int:
        """How many requests had that fate."""
        return sum(one is fate for _, _, one in self.seen)


@contextmanager
def before(upstream: int, choose: Choice) -> Iterator[Proxy]:
    """The proxy before the server on that port, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            _handle(self, proxy)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            return  # a client that gave up waiting

    server = Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(server.server_port, upstream, choose)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def _handle(request: BaseHTTPRequestHandler, proxy: Proxy) -> None:
    body = _body(request)
    fate = proxy.fate_of(request.command, request.path)
    proxy.stopped.wait(proxy.delay_s)
    if fate is Fate.HUNG:
        proxy.stopped.wait()
        request.close_connection = True
        return
    if fate is Fate.REFUSED:
        return _answer(request, 500, {"Content-Type": "application/xml"}, BROKEN)
    upstream = http.client.HTTPConnection("127.0.0.1", proxy.upstream, timeout=30)
    headers = {name: value for name, value in request.headers.items() if name.lower() not in (*HOP, "expect", "content-length")}
    upstream.request(request.command, request.path, body, {**headers, "Content-Length": str(len(body))})
    answer = upstream.getresponse()
    data = answer.read()
    upstream.close()
    if fate is Fate.LOST:
        return _answer(request, 500, {"Content-Type": "application/xml"}, BROKEN)
    cut = len(data) // 2 if fate is Fate.CUT and len(data) > 1 else None
    return _answer(request, answer.status, dict(answer.getheaders()), data, cut)


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while num_bytes := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(num_bytes))
        request.rfile.readline()
    while request.rfile.readline().strip():
        continue
    return b"".join(parts)


def _answer(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes, cut: int | None = None) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in (*HOP, "content-length"):
            request.send_header(name, value)
    length = headers.get("Content-Length", str(len(data))) if request.command == "HEAD" else str(len(data))
    request.send_header("Content-Length", length)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data[:cut])
    request.close_connection = cut is not None
