"""A workspace that `vitrine release` can work in without a gateway: params, two bundles, and users who go by its channel record."""

import datetime as dt
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from components.contract import read_params
from components.objects import FolderStore
from components.release.channel import Channel
from components.release.decision import Decision
from components.release.decisions import DecisionLog
from tests.conftest import PROJECT, merge
from tests.flows.conftest import VITRINE
from tests.release.simulated_shop import SMALL, Shop
from tests.release_bundle import write_bundle

QUICK: Mapping[str, Any] = {
    "registry": "registry",
    "ladder": {"look_s": 0.2, "min_s": 0.3, "approval_timeout_s": 90.0},
    "notify": {"block": None},
}
TICK_S = 0.3


class Released:
    """The folder, the commands that are run in it, and the shop whose users log what they see."""

    def __init__(self, folder: Path, environment: Mapping[str, str], changes: Mapping[str, Any] | None = None) -> None:
        self.folder, self.environment = folder, dict(environment)
        params = read_params(PROJECT / "params.yaml")
        for part in (SMALL, QUICK, changes or {}):
            merge(params["release"], dict(part))
        params["serve"]["store"] = "store"
        with open(folder / "params.yaml", "w") as file:
            YAML().dump(params, file)
        self.shop = Shop(folder, {"ladder": {"look_s": 0.2}})

    def bundle(self, name: str, **facts: Any) -> Path:
        """A bundle with an id of its own."""
        write_bundle(self.folder / name, held_out=[], catalogue=["i-1"], metrics={"name": name}, **facts)
        return self.folder / name

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit status and output of `vitrine release ARGUMENTS`."""
        done = subprocess.run(
            [VITRINE, "release", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """`vitrine release start`, begun; its output goes to output.txt."""
        with open(self.folder / "output.txt", "wb") as output:
            command = [VITRINE, "release", "start", *arguments]
            return subprocess.Popen(command, cwd=self.folder, env=self.environment | environment, stdout=output, stderr=output)

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def record(self) -> Channel:
        return self.shop.record()

    def log(self, release_id: str) -> list[Decision]:
        return list(DecisionLog(FolderStore(self.folder / "registry"), release_id).read())

    @contextmanager
    def browsed(self) -> Iterator[None]:
        """Users come and go until the block ends."""
        over = threading.Event()

        def browse() -> None:
            while not over.wait(TICK_S):
                self.shop.tick(dt.datetime.now(dt.UTC))

        thread = threading.Thread(target=browse, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
