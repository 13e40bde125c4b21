"""A live shop for tests: `vitrine serve` over a registry, users who browse it, and a controller, each a process that can be killed."""

import bisect
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow.parquet as pq
import yaml

from components.contract import bind, read_params
from components.objects import FolderStore
from components.release.changes import Desk
from components.release.channel import Channel, arm_of
from components.release.config import ReleaseConfig
from components.release.decision import Decision
from components.release.decisions import DecisionLog
from components.release.explain import explained
from components.release.people import Person
from components.release.registry import Registry
from tests.conftest import environment
from tests.release.simulated_shop import SMALL
from tests.release.traffic import Traffic
from tests.serve.canary_shop import fast, merge_into, twin
from tests.serve.gateway import await_ready, free_port

TAPS, FEW_TAPS = 0.6, 0.1
COPIED = ("bundle", "data", "params.yaml")
# One group and few rungs, for a machine that answers some tens of pages a second. Latency fails nobody: other tests run beside.
QUICK: Mapping[str, Any] = {
    **SMALL,
    "groups": {"all": ["web", "ios", "android"]},
    "ladder": {**SMALL["ladder"], "rungs": [40, 70, 100], "look_s": 0.2, "min_s": 0.5, "soak_users": 30},
    "shadow": {"share": 1.0, "min_compared": 100, "max_latency_ratio": 50.0},
    "judge": {
        **SMALL["judge"],
        "metrics": {
            "error_share": {"margin": 0.35},
            "slow_share": {"margin": 0.95},
            "empty_share": {"margin": 0.35},
            "score_shift": {"margin": 0.5},
            "seller_share": {"margin": 0.4},
            "tap_rate": {"margin": 0.5},
            "purchase_rate": {"margin": 0.9},
        },
        "success_from_percent": 40,
        "rungs": [{"weight_percent": 40, "horizon_users": 300}, {"weight_percent": 70, "horizon_users": 300}],
        "budget": {**SMALL["judge"]["budget"], "groups": {"all": 1.0}},
    },
}


@dataclass
class Live:
    """`bad` are releases whose pages are hardly tapped; `history` is every record that was seen, with when it was seen
    first, and `starts` when a gateway was started and when it was ready (monotonic clock)."""

    folder: Path
    port: int = field(default_factory=free_port)
    bad: set[str] = field(default_factory=set)
    history: list[tuple[float, Channel]] = field(default_factory=list)
    starts: list[tuple[float, float]] = field(default_factory=list)
    gateway: "subprocess.Popen[bytes] | None" = None
    controller: "subprocess.Popen[bytes] | None" = None
    environment: dict[str, str] = field(default_factory=environment)

    @classmethod
    def of(cls, workspace: Path, folder: Path) -> "Live":
        """A shop with the workspace's tables, whose first release is stable."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            source = workspace / name
            shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy2(source, folder / name)
        shop = cls(folder)
        params = read_params(folder / "params.yaml")
        merge_into(params["release"], {**QUICK, "registry": "registry", "gateways": [shop.url]})
        params["release"]["groups"], params["release"]["judge"]["budget"]["groups"] = QUICK["groups"], {"all": 1.0}
        merge_into(params["serve"], {**fast(), "state": "serve", "store": "serve/store"})
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        shop.person().start(shop.publish("first"), "first", shop.cfg)
        return shop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cfg(self) -> ReleaseConfig:
        return bind(ReleaseConfig, "release", read_params(self.folder / "params.yaml"))

    @property
    def registry(self) -> Registry:
        return Registry(FolderStore(self.folder / self.cfg.registry))

    def record(self) -> Channel:
        return self.registry.channel()[0]

    def person(self) -> Person:
        return Person(Desk(self.registry), actor="someone")

    def publish(self, name: str, *, is_bad: bool = False) -> str:
        """The id of a release that answers as the workspace's bundle does."""
        release_id = self.person().publish(twin(self.folder / "bundle", self.folder / "bundles" / name, name), self.folder)
        if is_bad:
            self.bad.add(release_id)
        return release_id

    def start(self, name: str, *, is_bad: bool = False) -> str:
        """The id of a new release, in its shadow."""
        release_id = self.publish(name, is_bad=is_bad)
        self.person().start(release_id, "it is to be tested", self.cfg)
        return release_id

    def open_gateway(self) -> None:
        """The gateway answers and is ready."""
        started_s = time.monotonic()
        self.gateway = self._run("gateway.log", "vitrine", "serve", "--port", str(self.port))
        with httpx.Client(base_url=self.url, timeout=30) as client:
            await_ready(client, lambda: [] if self.gateway and self.gateway.poll() is None else [AssertionError(self.said("gateway.log"))])
        self.starts.append((started_s, time.monotonic()))

    def open_controller(self, *command: str) -> None:
        """A controller of the release that is under test, in a process of its own."""
        own = (sys.executable, "-m", "tests.release.controller_child", str(self.folder))
        self.controller = self._run("controller.log", *(command or own))

    def _run(self, log: str, *command: str) -> "subprocess.Popen[bytes]":
        with open(self.folder / log, "ab") as output:
            path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), self.environment.get("PYTHONPATH")]))
            return subprocess.Popen(command, cwd=self.folder, env=self.environment | {"PYTHONPATH": path}, stdout=output, stderr=output)

    def said(self, log: str, lines: int = 20) -> str:
        return "\n".join((self.folder / log).read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        """Ends what still runs; the gateway writes down what it has taken."""
        for process, how, limit_s in ((self.controller, signal.SIGKILL, 10), (self.gateway, signal.SIGTERM, 60)):
            if process is not None and process.poll() is None:
                process.send_signal(how)
                process.wait(limit_s)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Reads the record again and again; one that cannot be read is a failure."""
        over, failed = threading.Event(), list[BaseException]()

        def watch() -> None:
            registry, last = self.registry, None
            while not over.wait(0.01):
                try:
                    record = registry.channel()[0]
                except BaseException as error:
                    failed.append(error)
                    return
                if record != last:
                    self.history.append((time.monotonic(), record))
                    last = record

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        assert not failed, f"the record was invalid: {failed[0]}"

    @contextmanager
    def asked(self) -> Iterator[dict[int, float]]:
        """When the gateway first said that it goes by each revision (Unix time), asked without a pause until the block ends."""
        over, seen = threading.Event(), dict[int, float]()

        def watch() -> None:
            with httpx.Client(base_url=self.url, timeout=5) as client:
                while not over.wait(0.02):
                    with contextlib.suppress(httpx.TransportError, KeyError, ValueError):
                        seen.setdefault(int(client.get("/v1/channel").json()["revision"]), time.time())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()

    def log_of(self, release_id: str) -> Sequence[Decision]:
        """The release's decisions."""
        return DecisionLog(FolderStore(self.folder / self.cfg.registry), release_id).read()

    def traffic(self, **more: Any) -> Traffic:
        """Users of the gateway who tap as the releases deserve it."""
        items = pq.read_table(self.folder / "bundle/index/items.parquet").column("item_id").to_pylist()
        return Traffic([self.url], items, lambda release_id, platform: FEW_TAPS if release_id in self.bad else TAPS, **more)

    def records_between(self, start_s: float, end_s: float) -> Sequence[Channel]:
        """Every record that stood at some time in between (monotonic clock)."""
        times = [at for at, _ in self.history]
        first = max(bisect.bisect_right(times, start_s) - 1, 0)
        return [record for _, record in self.history[first : bisect.bisect_right(times, end_s) or 1]]

    def left_the_canary(self, traffic: Traffic, slack_s: float = 3.0) -> list[str]:
        """Users whom a candidate had answered and another release did later, though the record never took them out of its canary."""
        left = []
        for (platform, user), answers in traffic.answered.items():
            for place, later in enumerate(answers):
                stood = self.records_between(later.asked_s - slack_s, later.answered_s)
                for candidate in {one.release_id for one in answers[:place]} - {later.release_id}:
                    if stood and all(is_in_canary(record, candidate, platform, user) for record in stood):
                        during = any(start_s <= later.asked_s <= ready_s for start_s, ready_s in self.starts)
                        when = "while a gateway was starting" if during else "while every gateway was ready"
                        left.append(f"{user} on {platform}, {when}: {candidate[:12]} then {later.release_id[:12]}")
        return left

    def kept_events(self) -> list[str]:
        """The event_ids in the store, as often as they lie there."""
        ids: list[str] = []
        for table in ("impressions", "clicks"):
            for path in sorted((self.folder / "serve/store/events" / table).rglob("*.parquet")):
                ids += pl.read_parquet(path)["event_id"].to_list()
        return ids

    def ended(self, release_id: str) -> str | None:
        """`promoted` or `rolled back`, once the release is no candidate any more."""
        record = self.record()
        if record.candidate is not None and record.candidate.release_id == release_id:
            return None
        return "promoted" if release_id in (record.stable, *record.previous) else "rolled back"

    def explained(self, release_id: str) -> list[str]:
        """What in the decision log does not follow from the files."""
        found = explained(DecisionLog(FolderStore(self.folder / self.cfg.registry), release_id), FolderStore(self.folder / "serve/store"))
        return [*found.problems, *(f"{one.entry.seq} {one.entry.kind}: {problem}" for one in found.told for problem in one.problems)]


def is_in_canary(record: Channel, candidate: str, platform: str, user: str) -> bool:
    """Whether the record has that user in the candidate's canary."""
    is_tested = record.candidate is not None and record.candidate.release_id == candidate
    return is_tested and arm_of(record, platform, user) == "canary"  # type: ignore[arg-type]


def until(holds: Callable[[], Any], limit_s: float, what: Callable[[], str]) -> Any:
    """What it returns, once that is true."""
    end_s = time.monotonic() + limit_s
    while not (found := holds()):
        assert time.monotonic() < end_s, what()
        time.sleep(0.02)
    return found


def kill(process: "subprocess.Popen[bytes] | None") -> None:
    """kill -9."""
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(10)
