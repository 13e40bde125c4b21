"""A Prefect server with its page, work pools, process workers, a bucket and a bare repository: what a team would have, on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient

SCRIPTS = Path(sysconfig.get_path("scripts"))
LIMIT_S = 240.0
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")


def await_that(holds: Callable[[], object], what: Callable[[], object], limit_s: float = LIMIT_S) -> object:
    """What `holds` gives, once that is something; after the limit the test fails with `what`."""
    deadline = time.monotonic() + limit_s
    while not (found := holds()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)
    return found


@dataclass
class Worker:
    """A process worker and all that it started."""

    process: subprocess.Popen[bytes]
    log: Path

    def family(self) -> list[psutil.Process]:
        """The worker first, then what lives below it."""
        try:
            worker = psutil.Process(self.process.pid)
            return [worker, *worker.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: int) -> None:
        """The signal to the whole family, as when a machine goes away, or stands still."""
        for one in self.family():
            try:
                one.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def kill(self) -> None:
        """kill -9 of the worker, its flow runs and their stages."""
        self.send(signal.SIGKILL)
        self.process.wait(30)


@dataclass
class House:
    """Where the server listens, and the environment of everybody who works there."""

    folder: Path
    api: str
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    @property
    def page(self) -> str:
        """The address of Prefect's page."""
        return self.api.removesuffix("/api")

    def client(self) -> SyncPrefectClient:
        """Prefect's own client."""
        return SyncPrefectClient(api=self.api)

    def run(self, folder: Path, *command: str, limit_s: float = LIMIT_S) -> tuple[int, str]:
        """Exit status and output of a command in a folder."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def must(self, folder: Path, *command: str, limit_s: float = LIMIT_S) -> str:
        """The output of a command that has to go well."""
        status, output = self.run(folder, *command, limit_s=limit_s)
        assert status == 0, f"{' '.join(command)} ended with {status}\n{output}"
        return output

    def git(self, folder: Path, *arguments: str) -> str:
        """What git prints."""
        return self.must(folder, *GIT, *arguments).strip()

    def start_worker(self, pool: str, origin: Path, **more: str) -> Worker:
        """A worker of the pool whose runs clone that repository."""
        log = self.folder / f"worker-{pool}-{len(self.workers)}.log"
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
        environment = self.environment | {"VITRINE_REPOSITORY": str(origin), "TMPDIR": str(self.temporary())} | more
        with open(log, "wb") as output:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def temporary(self) -> Path:
        """Where workers make their clones."""
        folder = self.folder / "temporary"
        folder.mkdir(exist_ok=True)
        return folder

    def end_workers(self) -> None:
        """Kills every worker and what it started."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()


@contextmanager
def opened(folder: Path, settings: Mapping[str, str]) -> Iterator[House]:
    """The house, until the block ends. `settings` are the bucket's."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("PREFECT", "DVC_", "GIT_", "VITRINE_", "AWS_", "OPENAI"))
    }
    own = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc"),
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "DVC_NO_ANALYTICS": "true",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]]),
        "NO_PROXY": "127.0.0.1",
    }
    with socket.create_server(("127.0.0.1", 0)) as listening:
        api = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        environment = kept | own | settings | {"PREFECT_API_URL": api, "PREFECT_UI_API_URL": api}
        with open(folder / "server.log", "wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--fd", str(listening.fileno())],
                env=environment,
                pass_fds=[listening.fileno()],
                stdout=output,
                stderr=output,
            )
    house = House(folder, api, environment)
    try:
        await_that(lambda: _answers(api, server), (folder / "server.log").read_text)
        for pool in ("cpu", "gpu"):
            house.must(folder, "prefect", "work-pool", "create", pool, "--type", "process")
        yield house
    finally:
        house.end_workers()
        server.terminate()
        server.wait(60)


def _answers(api: str, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "the server ended"
    try:
        return httpx.get(f"{api}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def bare_origin(house: House, workspace: Path, origin: Path) -> Path:
    """A bare repository that has the workspace's branch, which is its `origin` from now on."""
    shutil.rmtree(origin, ignore_errors=True)
    house.git(workspace, "init", "-q", "--bare", "-b", "main", str(origin))
    house.git(workspace, "branch", "-M", "main")
    house.git(workspace, "remote", "add", "origin", str(origin))
    house.git(workspace, "push", "-q", "-u", "origin", "main")
    return origin
