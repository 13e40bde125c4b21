"""`vitrine serve` as users start it, in a scratch workspace, with its memory read from outside: for benches and long runs."""

import contextlib
import datetime as dt
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from components import releases
from components.contract import bind, read_params
from components.neighbours import IndexConfig
from components.serve.config import ServeConfig
from components.serve.index.store import open_index
from components.serve.items import Item, Placed
from components.serve.router import name_of
from components.towers import Serving
from tests.conftest import PROJECT, edit_params, environment
from tests.serve.gateway import free_port

READY_S = 300.0
STOP_S = 60.0
WAIT_S = 0.1
CHUNK = 5000
NUM_CLUSTERS, SPREAD = 1000, 0.6
MIB = 2**20


def make_shop(folder: Path, finished: Path, changes: dict[str, Any] | None = None, bundle: Path | None = None) -> Path:
    """A workspace that only serves: this checkout's params.yaml with changes in `serve:`, the tables and the bundle of a finished one."""
    folder.mkdir(parents=True)
    shutil.copy(PROJECT / "params.yaml", folder)
    edit_params(folder, {"serve": changes or {}})
    (folder / "data").symlink_to((finished / "data").resolve())
    (folder / "bundle").symlink_to((bundle or finished / "bundle").resolve())
    return folder


@dataclass
class Server:
    """A running gateway. `log` holds what it wrote."""

    workspace: Path
    port: int
    log: Path
    command: list[str]
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self, *, ready: bool = True) -> None:
        """Starts it, and waits until it is ready. Raises AssertionError where it ends instead."""
        env = environment() | {"PYTHONPATH": str(PROJECT)}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--port", str(self.port)], cwd=self.workspace, env=env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + READY_S
        while ready and not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the gateway is not ready, see {self.log}: {self.log.read_text()[-2000:]}")
            time.sleep(WAIT_S)

    def is_ready(self) -> bool:
        """Whether it says so."""
        with contextlib.suppress(OSError):
            return bool(self.get("/health/ready"))
        return False

    def get(self, path: str) -> Any:
        """The JSON at an address. Raises OSError for what is no 2xx."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON that a POST is answered with. Raises OSError for what is no 2xx."""
        data = json.dumps(body or {}).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, headers={"content-type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(asked, timeout=300) as answer:
            return json.load(answer)

    def rss_mib(self) -> tuple[float, float]:
        """Resident memory of the gateway, and of its children together."""
        own = psutil.Process(self.process.pid)
        children = 0
        for child in own.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                children += child.memory_info().rss
        return own.memory_info().rss / MIB, children / MIB

    def cpu_s(self) -> float:
        """CPU time of the gateway and its living children."""
        own = psutil.Process(self.process.pid)
        spent = 0.0
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system
        return spent

    def kill(self) -> None:
        """kill -9, and nothing else."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM, and what is left after a minute is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def serving(workspace: Path, *options: str, module: str | None = None) -> Iterator[Server]:
    """The gateway over the workspace until the block ends; `module` is run in the place of `vitrine serve`."""
    command = [sys.executable, "-m", module] if module else [str(Path(sys.executable).parent / "vitrine"), "serve"]
    server = Server(workspace, free_port(), workspace / "serve.log", [*command, *options])
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Memory:
    """Resident memory in MiB by second, of the gateway and of its children together, for as long as the block lasts."""

    server: Server
    rows: list[tuple[float, float, float]] = field(default_factory=list)

    def __enter__(self) -> "Memory":
        self._stop, self._began_s = threading.Event(), time.perf_counter()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            with contextlib.suppress(Exception):  # it is killed while we look
                self.rows.append((time.perf_counter() - self._began_s, *self.server.rss_mib()))

    def mean(self, begin_s: float, end_s: float) -> tuple[float, float]:
        """Of the gateway, and of its children, within that time."""
        found = [row[1:] for row in self.rows if begin_s <= row[0] < end_s]
        own, children = zip(*found, strict=True)
        return statistics.mean(own), statistics.mean(children)


def clustered(count: int, dim: int, seed: int) -> np.ndarray:
    """(count, dim) float32 unit vectors around NUM_CLUSTERS centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(NUM_CLUSTERS, dim)) / np.sqrt(dim)
    vectors = centres[rng.integers(NUM_CLUSTERS, size=count)] + SPREAD * rng.normal(size=(count, dim)) / np.sqrt(dim)
    found: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def made_item(number: int) -> Item:
    """An item of a large catalogue."""
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
    return Item(
        item_id=f"item-{number:06d}",
        title=f"Red enamel mug with a white handle, number {number}",
        category=("home", "kitchen", f"mugs {number % 50}"),
        price=float(300 + number % 9000),
        currency="JPY",
        status="sold" if number % 10 == 0 else "on_sale",
        image_id=hashlib.sha256(str(number).encode()).hexdigest(),
        created_at=at,
        updated_at=at,
        width=640,
        height=480,
    )


async def fill(workspace: Path, num_items: int, seed: int = 0) -> str:
    """The release of the workspace's bundle, after its generation holds so many made-up items and answers."""
    params = read_params(workspace / "params.yaml")
    cfg, state = bind(ServeConfig, "serve", params), workspace / params["serve"]["state"]
    release_id = releases.keep(workspace / "bundle", workspace / releases.RELEASES)
    serving_of = Serving(**json.loads((workspace / "bundle/serving.json").read_text()))
    state.mkdir(parents=True)
    store = await open_index(cfg.index, state, bind(IndexConfig, "index", params))
    name, vectors = name_of(release_id), clustered(num_items, serving_of.dim, seed)
    await store.create(name, release_id=release_id, fingerprint=serving_of.fingerprint, dim=serving_of.dim)
    for start in range(0, num_items, CHUNK):
        rows = [Placed(made_item(n), vectors[n], 0.5 + 0.4 * float(np.sin(n))) for n in range(start, min(start + CHUNK, num_items))]
        await store.fill(name, rows, fingerprint=serving_of.fingerprint)
    await store.finished(name)
    await store.switch(name, version=(await store.alias()).version)
    await store.close()
    return release_id


def load_of_machine() -> str:
    """How busy the machine was over the last minute, for whoever reads the figures."""
    return f"load average {os.getloadavg()[0]:.2f}"
