"""`python -m tests.bench_access`: what the layers around the routes cost, as a share of a no-op route's requests a second.

Both sides in one run and in turn: the same FastAPI route on uvicorn (httptools, uvloop) bare, and behind all layers with a key on a bounded
connection. Callers send over kept connections from a process of their own. Beside requests a second stands the server's processor time a
request, which says the same on a core of its own and stays true where other work shares the core; the verdict goes by it. Prints Markdown
for docs/benchmarks.md.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.responses import Response

from components.serve.access import answers
from components.serve.access.connection import server_settings
from components.serve.access.stack import wrap
from tests.serve.small_shop import access, key_for, queries

NUM_CALLERS = 16
MIN_ANSWERS = 100
WANTED_SHARE = 0.85


def noop() -> FastAPI:
    """One route that does nothing."""
    app = FastAPI()

    @app.get("/v1/items")
    async def nothing() -> Response:
        return Response(b"{}", media_type="application/json")

    return app


def bare(state: Path) -> dict[str, Any]:
    """uvicorn's settings without any of ours."""
    return {"app": noop(), "access_log": False}


def behind_all(state: Path) -> dict[str, Any]:
    """uvicorn's settings with all of ours."""
    app, cfg = noop(), access()
    answers.install(app)
    return {"app": wrap(app, cfg, queries(), state), **server_settings(cfg.connections)}


def serve(settings: Callable[[Path], dict[str, Any]], state: Path, core: int, ports: Any) -> None:
    """A server on one core; tells its port."""
    os.sched_setaffinity(0, {core})
    config = uvicorn.Config(**settings(state), host="127.0.0.1", port=0, loop="uvloop", log_level="error")

    async def run() -> None:
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        ports.put(server.servers[0].sockets[0].getsockname()[1])
        await task

    uvloop.run(run())


class Caller(asyncio.Protocol):
    """Sends the request again as soon as it is answered. Answers are told apart by their length, which is always the same."""

    def __init__(self, request: bytes) -> None:
        self.request, self.answered, self.pending, self.size = request, 0, b"", 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.pending += data
        head, found, body = self.pending.partition(b"\r\n\r\n")
        if found and len(body) >= 2:
            assert head.startswith(b"HTTP/1.1 200"), self.pending
            self.answered, self.pending = self.answered + 1, b""
            self.transport.write(self.request)


@dataclass(frozen=True)
class Round:
    """What a server did: answers a second, and its processor time for one, in microseconds."""

    per_s: float
    cpu_us: float


def cpu_s_of(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def one_round(pid: int, port: int, request: bytes, seconds: float) -> Round:
    """All callers together."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Caller(request), "127.0.0.1", port) for _ in range(NUM_CALLERS)]
    await asyncio.sleep(0.2)
    before, began, cpu_s = sum(caller.answered for _, caller in made), time.perf_counter(), cpu_s_of(pid)
    answered, tries = 0, 0
    while answered < MIN_ANSWERS and tries < 10:  # a shared core may stand still for a while
        await asyncio.sleep(seconds)
        answered, tries = sum(caller.answered for _, caller in made) - before, tries + 1
    assert answered >= MIN_ANSWERS, "the server does not answer"
    seen = Round(answered / (time.perf_counter() - began), 1e6 * (cpu_s_of(pid) - cpu_s) / answered)
    for transport, _ in made:
        transport.close()
    return seen


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--rounds", type=int, default=9)
    asked = options.parse_args()
    cores, spawn = sorted(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")
    rounds: dict[str, list[Round]] = {"bare": [], "behind all layers": []}
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        key = key_for(state, "read", rate=1e6, burst=10**6)
        headers = f"Host: localhost\r\nAccept: */*\r\nUser-Agent: bench\r\nX-API-Key: {key}\r\nX-Platform: web\r\n"
        request = f"GET /v1/items HTTP/1.1\r\n{headers}\r\n".encode()
        servers, ports = [], []
        for settings in (bare, behind_all):
            told = spawn.Queue()
            servers.append(spawn.Process(target=serve, args=(settings, state, cores[-1], told), daemon=True))
            servers[-1].start()
            ports.append(told.get(timeout=60))
        os.sched_setaffinity(0, {cores[0]})
        for _ in range(asked.rounds):
            for side, server, port in zip(rounds, servers, ports, strict=True):
                rounds[side].append(uvloop.run(one_round(server.pid, port, request, asked.seconds)))
        for server in servers:
            server.terminate()
    report(rounds)


def report(rounds: dict[str, list[Round]]) -> None:
    """The table; the share is the median of the rounds' own shares, since the machine's speed drifts between them."""
    shares = [first.cpu_us / second.cpu_us for first, second in zip(*rounds.values(), strict=True)]
    share = statistics.median(shares)
    print("| no-op route | requests a second | processor time a request (us) |\n|---|---|---|")
    for side, seen in rounds.items():
        print(f"| {side} | {statistics.median(r.per_s for r in seen):,.0f} | {statistics.median(r.cpu_us for r in seen):.0f} |")
    verdict = "reached" if share >= WANTED_SHARE else f"below {WANTED_SHARE}"
    print(f"\nshare kept {share:.3f} (rounds {min(shares):.3f} to {max(shares):.3f}): {verdict}")


if __name__ == "__main__":
    main()
