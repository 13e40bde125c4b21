"""A toy shop with three stages, and one Prefect server for all flow tests."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import PROJECT

SCRIPTS = sysconfig.get_path("scripts")
VITRINE = str(Path(SCRIPTS, "vitrine"))
DVC = (sys.executable, "-m", "dvc")
DVC_YAML = """
stages:
  evaluate:
    cmd: python toy.py evaluate data/labels data/verdict
    deps: [data/labels, toy.py]
    outs: [data/verdict]
    metrics: [reports/evaluate.json]
    meta: {pool: cpu, gpu: 0, retries: 0, timeout_s: 60}
  label:
    cmd: python toy.py label data/pairs data/labels
    deps: [data/pairs, toy.py]
    outs: [data/labels]
    metrics: [reports/label.json]
    meta: {pool: cpu, gpu: 0, retries: 1, timeout_s: 60}
  pairs:
    cmd: python toy.py pairs seed.txt ${paths.pairs}
    deps: [seed.txt, toy.py]
    outs: ["${paths.pairs}"]
    metrics: [reports/pairs.json]
    meta: {pool: cpu, gpu: 0, retries: 0, timeout_s: 60}
"""
PARAMS = """
paths: {pairs: data/pairs}
workspace: {wait_s: 0.0}
cost: {currency: USD, million_input_tokens: null, million_output_tokens: null}
"""
# Files under knobs/ steer a stage without being deps: NAME.hold makes it wait, and NAME.fails, NAME.dies and NAME.eats count how often it
# is still to end with an error, to be killed, and to take memory without end.
TOY = """
import hashlib, json, os, pathlib, sys, time
from components.process import die_with_parent
die_with_parent()
name, source, target = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
knobs = pathlib.Path("knobs")
print(f"{name} starts", flush=True)
while (knobs / f"{name}.hold").exists():
    target.write_text("half written")
    print(f"{name} waits", flush=True)
    time.sleep(0.1)
def is_due(knob):
    path = knobs / f"{name}.{knob}"
    left = int(path.read_text()) if path.exists() else 0
    path.write_text(str(max(0, left - 1)))
    return left > 0
if is_due("fails"):
    sys.exit(f"{name} has a bad day")
if is_due("dies"):
    os.kill(os.getpid(), 9)
held = []
while held or is_due("eats"):
    held.append(b"x" * 2**25)
    time.sleep(0.02)
target.write_text(hashlib.sha256(source.read_bytes() + name.encode()).hexdigest())
report = {"rows_in": 3, "rows_out": 2, "rows_quarantined": 1}
if name == "evaluate":
    ndcg = int(target.read_text()[:4], 16) / 65536
    row = {"model": {"ndcg_at_5": {"value": ndcg, "low": ndcg - 0.1, "high": ndcg + 0.1}}}
    report |= {"encoder": {"all": {"category": row}}, "promote": False, "reasons": ["ndcg_at_5 is below the histogram's"]}
pathlib.Path("reports", f"{name}.json").write_text(json.dumps(report))
"""


@dataclass(frozen=True)
class Shop:
    """A toy workspace and the environment its commands run in."""

    folder: Path
    environment: dict[str, str]

    def start_retrain(self, *options: str, output: str = "output.txt") -> subprocess.Popen[bytes]:
        """`vitrine retrain`, started; its output goes to a file of the shop."""
        with open(self.folder / output, "wb") as file:
            return subprocess.Popen([VITRINE, "retrain", *options], cwd=self.folder, env=self.environment, stdout=file, stderr=file)

    def output(self, name: str = "output.txt") -> str:
        return (self.folder / name).read_text()

    def retrain(self, *options: str) -> tuple[int, str]:
        """Exit status and output of `vitrine retrain`."""
        return self._run([VITRINE, "retrain", *options], self.environment)

    def dvc(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of DVC, run as a person would from an activated environment."""
        return self._run([*DVC, *arguments], self._activated())

    def start_dvc(self, *arguments: str, start: Sequence[str] = DVC) -> subprocess.Popen[bytes]:
        """DVC, started as a person would; its output goes to output.txt."""
        with open(self.folder / "output.txt", "wb") as output:
            return subprocess.Popen([*start, *arguments], cwd=self.folder, env=self._activated(), stdout=output, stderr=output)

    def _activated(self) -> dict[str, str]:
        return self.environment | {"PATH": os.pathsep.join([SCRIPTS, self.environment["PATH"]])}

    def _run(self, command: list[str], environment: dict[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, check=False
        )
        return done.returncode, done.stdout

    def digests(self) -> dict[str, str]:
        """The digest of each out, as dvc.lock has them."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}

    def knob(self, name: str) -> Path:
        return self.folder / "knobs" / name

    def await_output(self, text: str, limit_s: float = 60, output: str = "output.txt") -> None:
        deadline = time.monotonic() + limit_s
        while text not in self.output(output):
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.output(output)}"
            time.sleep(0.02)

    def processes(self) -> list[psutil.Process]:
        """Every living process that stands in the shop, but for this one."""
        return [process for process in psutil.process_iter() if process.pid != os.getpid() and _stands_in(process, self.folder)]

    def await_empty(self, limit_s: float = 10) -> None:
        deadline = time.monotonic() + limit_s
        while left := self.processes():
            assert time.monotonic() < deadline, f"still there: {[process.cmdline() for process in left]}"
            time.sleep(0.05)


def _stands_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder
    except psutil.Error:
        return False


@pytest.fixture(scope="session")
def lone_environment(tmp_path_factory) -> dict[str, str]:
    """No Prefect server configured; nothing of the reader's own Prefect or DVC settings is read or written."""
    base = tmp_path_factory.mktemp("settings")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "DVC_"))}
    return kept | {
        "PREFECT_HOME": str(base / "prefect"),
        "DVC_GLOBAL_CONFIG_DIR": str(base / "dvc"),
        "DVC_SITE_CACHE_DIR": str(base / "dvc-site"),
        "DVC_NO_ANALYTICS": "true",
    }


@pytest.fixture(scope="session")
def server(lone_environment):
    """The API address of a Prefect server that the flows of this session report to."""
    from flows.server import SETTINGS, serving

    with serving(lone_environment | SETTINGS) as url:
        yield url


@pytest.fixture(scope="session")
def client(server, lone_environment):
    """Prefect's own client for that server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", lone_environment["PREFECT_HOME"])
        patch.setenv("DO_NOT_TRACK", "1")
        from prefect.client.orchestration import SyncPrefectClient

        with SyncPrefectClient(api=server) as prefect_client:
            yield prefect_client


@pytest.fixture(scope="session")
def shop_template(tmp_path_factory, lone_environment) -> Path:
    folder = tmp_path_factory.mktemp("template") / "shop"
    for inner in ("knobs", "data", "reports"):
        (folder / inner).mkdir(parents=True)
    for name, text in {"dvc.yaml": DVC_YAML, "toy.py": TOY, "params.yaml": PARAMS, "seed.txt": "1"}.items():
        (folder / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, env=lone_environment, check=True)
    return folder


@pytest.fixture(scope="session")
def unkilled_digests(shop_template, lone_environment, tmp_path_factory) -> dict[str, str]:
    """What `dvc repro` alone makes of a fresh shop."""
    shop = Shop(Path(shutil.copytree(shop_template, tmp_path_factory.mktemp("unkilled") / "shop")), lone_environment)
    status, output = shop.dvc("repro")
    assert status == 0, output
    return shop.digests()


@pytest.fixture
def lone_shop(shop_template, lone_environment, tmp_path):
    """A shop where no Prefect server is configured."""
    shop = Shop(Path(shutil.copytree(shop_template, tmp_path / "shop")).resolve(), dict(lone_environment))
    yield shop
    for process in shop.processes():
        process.kill()


@pytest.fixture
def shop(lone_shop, server):
    """A shop whose flows report to the session's Prefect server."""
    return Shop(lone_shop.folder, lone_shop.environment | {"PREFECT_API_URL": server})


@pytest.fixture(scope="session")
def house(tmp_path_factory, s3):
    """A Prefect server with all its services and its page, the work pools cpu and gpu, and the bucket; nobody works there yet."""
    from tests.flows.pool_house import opened

    with opened(tmp_path_factory.mktemp("house"), s3.environment) as house:
        yield house


@pytest.fixture(scope="session")
def deployed(house):
    """The house with the deployments of the real prefect.yaml, whose clocks stand still."""
    house.must(PROJECT, "prefect", "--no-prompt", "deploy", "--all")
    with house.client() as client:
        for deployment in client.read_deployments():
            for schedule in deployment.schedules:
                client.update_deployment_schedule(deployment.id, schedule.id, active=False)
    return house
