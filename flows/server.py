"""Prefect for a lone machine: a server of our own on loopback, for as long as one process runs flows, where no server is configured.

Prefect would start one too, but as a plain subprocess that `kill -9` of the flow leaves running.
"""

import atexit
import http.client
import os
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from components.contract import STATE
from components.errors import BadWorkspace
from flows.group import end_group

LOOPBACK = "127.0.0.1"
START_S = 180.0  # the first start writes the database: 6 s on two idle cores, more on busy ones
SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s | %(message)s",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": "%(asctime)s | %(task_run_name)s | %(message)s",
}


def at_hand(environment: MutableMapping[str, str] = os.environ, state: Path = STATE) -> None:
    """Has a Prefect server named in `environment` until this process ends: the configured one, else one of our own.

    Call it before prefect is imported, which reads the environment once. PREFECT_HOME is left alone where it is set.
    """
    for key, value in SETTINGS.items():
        environment.setdefault(key, value)
    if is_configured(environment):
        return
    environment.setdefault("PREFECT_HOME", str((state / "prefect").resolve()))
    environment.setdefault("PREFECT_UI_URL", "")  # ours has no page, so no line may point to one
    for key in ("NO_PROXY", "no_proxy"):  # a proxy cannot reach our loopback
        environment[key] = ",".join(filter(None, [environment.get(key), LOOPBACK]))
    stack = ExitStack()
    atexit.register(stack.close)  # not earlier: Prefect sends its last logs and events while the interpreter shuts down
    environment["PREFECT_API_URL"] = stack.enter_context(serving(environment))


def check_configured(environment: Mapping[str, str] = os.environ) -> None:
    """Raises BadWorkspace where the user named no Prefect server: one of our own ends with this process, and no worker finds it."""
    if not is_configured(environment):
        raise BadWorkspace(
            "no Prefect server is configured: start one with `prefect server start`, and name it in PREFECT_API_URL (http://HOST:4200/api)"
        )


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether the user named a Prefect server: in the environment, or in the active profile of their Prefect home."""
    if environment.get("PREFECT_API_URL"):
        return True
    home = Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return False
    active = environment.get("PREFECT_PROFILE") or profiles.get("active")
    return bool(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL"))


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[str]:
    """The API's address. The listening socket is made here and handed down, so no other process can take the port in between."""
    log = Path(environment["PREFECT_HOME"]) / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with socket.create_server((LOOPBACK, 0)) as listening:
        port = listening.getsockname()[1]
        leader = _started(listening.fileno(), log, environment)
    try:
        _await_health(port, log)
        yield f"http://{LOOPBACK}:{port}/api"
    finally:
        end_group(leader)


def _started(fd: int, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "flows.server:app", "--fd", str(fd), "--log-level", "warning"]
    with open(log, "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.launch", str(os.getpid()), *uvicorn],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[fd],
            env=dict(environment),
        )


def _await_health(port: int, log: Path) -> None:
    """Returns once the server answers; the kernel keeps our one request until then. Raises BadWorkspace where it does not start."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=START_S)
    try:
        connection.request("GET", "/api/health")
        if (status := connection.getresponse().status) != http.client.OK:
            raise BadWorkspace(f"Prefect's server answered {status} instead of 200; see {log}")
    except (OSError, http.client.HTTPException) as error:
        raise BadWorkspace(f"Prefect's server did not start ({error!r}); see {log}") from None
    finally:
        connection.close()


def app() -> Any:
    """Prefect's API without its page and without the services that only deployments need (uvicorn calls this)."""
    from prefect.server.api.server import create_app

    return create_app(ephemeral=True)
