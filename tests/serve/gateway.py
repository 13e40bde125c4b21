"""A real gateway for tests: over a finished workspace's bundle, on loopback, in a thread of this process or as `vitrine serve`."""

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from components import releases
from components.contract import bind, read_params
from components.ingest.config import IngestConfig
from components.neighbours import IndexConfig
from components.serve.app import Start, layered, make_app
from components.serve.config import ServeConfig
from components.serve.seed import Seed
from tests.conftest import environment, merge
from tests.serve.live_server import serve_app

READY_S = 60.0


def config(workspace: Path, state: Path, changes: dict[str, Any] | None = None) -> ServeConfig:
    """The workspace's `serve:` with its state elsewhere, and changed where a test says so."""
    params = read_params(workspace / "params.yaml")
    params["serve"] |= {"state": str(state), "store": str(state / "store")}
    merge(params["serve"], changes or {})
    return bind(ServeConfig, "serve", params)


@dataclass
class Running:
    """A gateway that answers. `app` is the FastAPI app, with the gateway in its state; `failed` holds why it could not serve."""

    client: httpx.Client
    app: Any
    url: str
    failed: list[Exception]

    @property
    def gateway(self) -> Any:
        """Its parts."""
        return self.app.state.gateway


@contextmanager
def running(
    workspace: Path, state: Path, changes: dict[str, Any] | None = None, *, ready: bool = True, registry: Path | None = None
) -> Iterator[Running]:
    """The gateway over the workspace's bundle until the block ends, in this process; it follows the channel record of a registry given."""
    cfg = config(workspace, state, changes)
    kept = releases.keep(workspace / "bundle", state / "releases")
    failed: list[Exception] = []
    seed = Seed(workspace / "data/listings", workspace / "data/images")
    params = read_params(workspace / "params.yaml")
    rules = bind(IngestConfig, "ingest", params).upsert_rules
    start = Start(kept, seed, bind(IndexConfig, "index", params), rules, state / "releases", str(registry) if registry else None)
    app = make_app(cfg, start, ended=failed.append)
    with serve_app(layered(app, cfg)) as live, httpx.Client(base_url=live.url, timeout=30) as client:
        if ready:
            await_ready(client, lambda: failed)
        yield Running(client, app, live.url, failed)


def await_ready(client: httpx.Client, failed: Any = lambda: None) -> None:
    """Returns once the gateway says that it is ready."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            answer = client.get("/health/ready")
            if answer.status_code == 200:
                return
        if errors := failed():
            raise errors[0]
        time.sleep(0.05)
    raise AssertionError(f"not ready after {READY_S} s: {answer.text}")


@contextmanager
def command(workspace: Path, *options: str, limit_s: float = READY_S) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`vitrine serve` in a workspace on a free port, once it is ready; ended with SIGTERM where it still runs."""
    port = free_port()
    process = subprocess.Popen(
        ["vitrine", "serve", "--port", str(port), *options],
        cwd=workspace,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            await_ready(client, lambda: [AssertionError(process.communicate()[0])] if process.poll() is not None else None)
            yield process, client
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(40)
        if process.stdout:
            process.stdout.close()


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """The value of a metric, summed over what the labels leave open."""
    lines = (re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line) for line in client.get("/metrics").text.splitlines())
    return sum(float(found[2]) for found in lines if found and all(f'{k}="{v}"' in (found[1] or "") for k, v in labels.items()))
