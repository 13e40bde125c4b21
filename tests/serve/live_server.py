"""A real uvicorn on loopback for tests: in a thread of this process, on a free port, ended with the block."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

LIMIT_S = 20.0


@dataclass(frozen=True)
class Live:
    """Where the server listens. `server` is uvicorn's own object."""

    url: str
    host: str
    port: int
    server: uvicorn.Server

    def connect(self, timeout_s: float = 10.0) -> socket.socket:
        """A bare connection, for what no client would send."""
        return socket.create_connection((self.host, self.port), timeout=timeout_s)

    def tell(self, sent: bytes, timeout_s: float = 10.0) -> bytes:
        """Everything that comes back for these bytes until the server closes, or says nothing for `timeout_s`."""
        with self.connect(timeout_s) as line:
            line.sendall(sent)
            return read_all(line)


def read_all(line: socket.socket) -> bytes:
    """What the server sends until it closes, or falls silent for the socket's timeout."""
    parts = []
    try:
        while part := line.recv(65536):
            parts.append(part)
    except (TimeoutError, ConnectionResetError):
        pass
    return b"".join(parts)


@contextmanager
def serve_app(app: Any, **settings: Any) -> Iterator[Live]:
    """The app served until the block ends; `settings` are those of uvicorn.Config. Raises RuntimeError where it does not start."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # by name, or asyncio leaves Nagle's algorithm on
    listener.bind(("127.0.0.1", 0))
    host, port = listener.getsockname()
    server = uvicorn.Server(uvicorn.Config(app, **{"log_config": None, "timeout_graceful_shutdown": 2, **settings}))
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),), daemon=True)
    thread.start()
    try:
        _await(server, thread)
        yield Live(f"http://{host}:{port}", host, port, server)
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)
        listener.close()


def _await(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("uvicorn did not start")
        time.sleep(0.01)
