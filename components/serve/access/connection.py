"""The HTTP/1.1 connection, bounded where uvicorn's own is not: heads of requests in size and time, connections and pipelines in number.

uvicorn's parser takes any number of headers of any size, waits for a request's head for ever, and answers nonsense with plain text.
"""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from components.serve.access.answers import problem_of
from components.serve.access.config import ConnectionConfig
from components.serve.access.envelope import new_request_id
from components.serve.access.exchange import NOSNIFF, guarding
from components.serve.problems import Refused


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with bounds. A refusal raised inside the parser comes out of it as an error, and is answered here."""

    cfg: ClassVar[ConnectionConfig]
    _refusal: Refused | None = None
    _in_head = False
    _in_message = False
    _head_bytes = 0
    _num_headers = 0
    _unparsed_bytes = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.cfg.max_connections:
            self._hang_up(Refused("overloaded", f"{self.cfg.max_connections} connections are open", retry_after_s=1))
        else:
            self._await_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._await_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on; starts the clock where a head, or the rest of a body that nobody wants any more, has come in part."""
        went_on = self._in_head
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head or (self._in_message and self.cycle.response_complete):
            self._await_more()
        if self._in_head and went_on:  # the parser keeps a header to itself until it ends
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > self.cfg.max_header_bytes + self.cfg.max_url_bytes:
                self._hang_up(self._too_many_headers())

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._head_bytes = self._num_headers = self._unparsed_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Part of the address."""
        super().on_url(url)
        if len(self.url) > self.cfg.max_url_bytes:
            raise self._noted(Refused("url_too_long", f"the address is longer than {self.cfg.max_url_bytes} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those that come after a body are not taken, since they could pose as the request's own."""
        self._head_bytes += len(name) + len(value) + 4
        self._num_headers += 1
        if self._head_bytes > self.cfg.max_header_bytes or self._num_headers > self.cfg.max_headers:
            raise self._noted(self._too_many_headers())
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request can be answered."""
        self._in_head = False
        self._await_no_more()
        super().on_headers_complete()
        if len(self.pipeline) > self.cfg.max_pipelined:
            waiting = f"{self.cfg.max_pipelined} requests of this connection wait for an answer"
            raise self._noted(Refused("overloaded", waiting, retry_after_s=1))

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        self._in_message = False
        self._await_no_more()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what the parser could not take."""
        self._hang_up(self._refusal or Refused("bad_request", "this is no HTTP/1.1 request"))

    def _noted(self, refused: Refused) -> Refused:
        self._refusal = refused
        return refused

    def _too_many_headers(self) -> Refused:
        most = f"{self.cfg.max_headers} headers and {self.cfg.max_header_bytes} bytes of them"
        return Refused("headers_too_large", f"a request may have {most}")

    def _await_more(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.cfg.header_timeout_s, self._out_of_patience)

    def _await_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _out_of_patience(self) -> None:
        if self._in_head:
            self._hang_up(Refused("body_too_slow", f"the request's headers did not come within {self.cfg.header_timeout_s:g} s"))
        else:
            self.transport.close()

    def _hang_up(self, refused: Refused) -> None:
        """Answers and closes; only closes where the caller would take the answer for that to an earlier request."""
        earlier = self.cycle is not None and not self.cycle.response_complete
        if not self.transport.is_closing() and not (earlier and (self._in_head or self.pipeline or self.cycle.response_started)):
            self.transport.write(raw_answer(refused, new_request_id()))
        self.transport.close()


def raw_answer(refused: Refused, request_id: str) -> bytes:
    """The refusal as it goes over the wire, with the headers that every answer carries."""
    problem = problem_of(refused, request_id)
    last = (NOSNIFF, (b"x-request-id", request_id.encode()), (b"connection", b"close"))
    lines = [b": ".join(header) for header in (*problem.headers, *guarding(), *last)]
    status = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()
    return b"\r\n".join([status, *lines, b"", problem.body])


def server_settings(cfg: ConnectionConfig) -> dict[str, Any]:
    """What to give uvicorn.Config: the bounded connection, nothing believed of proxies, nothing said of the server."""
    return {
        "http": type("BoundedConnection", (Connection,), {"cfg": cfg}),
        "ws": "none",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
        "timeout_keep_alive": cfg.keep_alive_s,
    }
