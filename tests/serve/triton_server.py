"""A real Triton server for tests: tritonserver with its Python backend, out of the nvidia-pytriton wheel, on loopback.

`make triton-test-env` puts the wheel into a virtual environment of its own, since it wants numpy below 2.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import PROJECT

VENV = PROJECT / ".venv-triton"
STARTS_S = 60


@dataclass
class TritonServer:
    """Where it listens, and the process."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL to the server and its backends; the memory that they shared is removed."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        for left in Path("/dev/shm").glob(f"{_shared(self.url)}*"):
            left.unlink(missing_ok=True)


def distribution() -> Path:
    """The folder of the wheel. Without it the test is skipped, and fails in continuous integration, which installs it."""
    found = next(VENV.glob("lib/python3*/site-packages/pytriton/tritonserver"), None)
    if found is None:
        message = "there is no Triton server: run `make triton-test-env`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def backends(folder: Path) -> Path:
    """The wheel's backends with the stub for the environment's Python, which the wheel keeps apart."""
    wheel = distribution()
    if not folder.exists():
        shutil.copytree(wheel / "backends", folder)
        version = wheel.parents[2].name.removeprefix("python")
        shutil.copy2(wheel / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")
    return folder


def start(repository: Path, scratch: Path, ports: Sequence[int], options: Sequence[str] = ()) -> TritonServer:
    """The server over a model repository, once its models are ready. `scratch` is a folder for its log. `ports` are HTTP and gRPC,
    `options` further words of the command."""
    wheel = distribution()
    http, grpc = map(str, ports)
    loopback = [arg for name in ("http", "grpc") for arg in (f"--{name}-address", "127.0.0.1")]
    command = [
        str(wheel / "bin" / "tritonserver"),
        "--model-repository",
        str(repository),
        "--backend-directory",
        str(backends(scratch / "backends")),
    ]
    command += [*loopback, "--http-port", http, "--grpc-port", grpc, "--allow-metrics", "false", "--disable-auto-complete-config"]
    command += ["--exit-on-error", "false", "--backend-config", f"python,shm-region-prefix-name={_shared(grpc)}", *options]
    libraries = {
        "LD_LIBRARY_PATH": str(wheel.parents[1] / "nvidia_pytriton.libs"),
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    with open(scratch / "triton.log", "ab") as log:
        process = subprocess.Popen(command, env=os.environ | libraries, stdout=log, stderr=log, start_new_session=True)
    server = TritonServer(f"127.0.0.1:{grpc}", process)
    _await(server, int(http), scratch / "triton.log")
    return server


def _shared(url: str) -> str:
    return f"vitrine-test-{url.rpartition(':')[2]}-"


def _await(server: TritonServer, http: int, log: Path) -> None:
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/health/live", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    server.kill()
    raise AssertionError(f"Triton did not come up:\n{log.read_text()[-4000:]}")


@contextmanager
def serving(repository: Path, scratch: Path, options: Sequence[str] = ()) -> Iterator[TritonServer]:
    """The server until the block ends."""
    server = start(repository, scratch, free_ports(2), options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
