"""A shop for the show: a folder with params of its own and the workspace's tables, `vitrine serve` in it, and shoppers who come."""

import contextlib
import http.client
import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.contract import PARAMS, path_of
from components.errors import VitrineError
from flows.children import child
from flows.first import merged

LOOPBACK = "127.0.0.1"
READY_S = 120.0
WATCH_S = 0.1
APPLY_S = 15.0


@dataclass(frozen=True)
class Shop:
    """Where it lies, its params, and the address of its gateway."""

    folder: Path
    params: Mapping[str, Any]
    port: int

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """What the gateway says."""
        return self.folder / "gateway.log"


def lay_out(folder: Path, params: Mapping[str, Any], changes: Mapping[str, Any], bundle: Path) -> Shop:
    """A shop with nothing in it but the tables of the workspace here and the bundle that it begins with. What was in the folder is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = _free_port()
    told = {
        "serve": {"state": "state", "store": "state/store"},
        "release": {"registry": "registry", "gateways": [f"http://{LOOPBACK}:{port}"]},
    }
    own = merged(merged(params, changes), told)
    for name in ("listings", "images", "truth"):
        target = folder / path_of(name, params)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path_of(name, params).resolve())
    (folder / path_of("bundle", params)).symlink_to(bundle.resolve())
    (folder / PARAMS).write_text(yaml.safe_dump(own, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return Shop(folder, own, port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def opened(shop: Shop) -> Iterator["Watch"]:
    """The gateway answers and shoppers browse until the block ends. Raises VitrineError where either ends by itself."""
    with ExitStack() as stack:
        gateway = stack.enter_context(child(["vitrine", "serve", "--port", str(shop.port)], shop.folder, shop.log))
        _await_ready(shop, lambda: gateway.poll() is not None)
        browsing = [sys.executable, "-m", "flows.shoppers", shop.url]
        shoppers = stack.enter_context(child(browsing, shop.folder, shop.folder / "shoppers.log"))
        yield stack.enter_context(Watch(shop, {"gateway.log": gateway.poll, "shoppers.log": shoppers.poll}))


def _await_ready(shop: Shop, ended: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and not ended():
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _get(shop, "/health/ready")[0] == http.client.OK:
                return
        time.sleep(WATCH_S)
    raise VitrineError(f"the gateway is not ready. Its last lines:\n{_tail(shop.log)}")


def _get(shop: Shop, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, shop.port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
    return "\n".join(f"    {line}" for line in lines)


@dataclass
class Watch:
    """What the gateway said that it goes by, asked ten times a second: (Unix time, revision) wherever the revision was a new one."""

    shop: Shop
    polls: Mapping[str, Callable[[], int | None]]
    revisions: list[tuple[float, int]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._over.wait(WATCH_S):
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
                revision = int(json.loads(_get(self.shop, "/v1/channel")[1])["revision"])
                if not self.revisions or self.revisions[-1][1] != revision:
                    self.revisions.append((time.time(), revision))

    def reached(self, revision: int) -> float | None:
        """When the gateway was first seen to go by that revision or a later one; None where it was not."""
        return next((at for at, found in self.revisions if found >= revision), None)

    def await_revision(self, revision: int) -> None:
        """Returns once the gateway goes by that revision, or has not in APPLY_S."""
        deadline = time.monotonic() + APPLY_S
        while self.reached(revision) is None and time.monotonic() < deadline:
            time.sleep(WATCH_S)

    def check(self) -> None:
        """Raises VitrineError where the gateway or the shoppers are gone."""
        for name, poll in self.polls.items():
            if (code := poll()) is not None:
                raise VitrineError(f"{name.removesuffix('.log')} ended with {code}. Its last lines:\n{_tail(self.shop.folder / name)}")
