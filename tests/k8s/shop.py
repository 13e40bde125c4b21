"""A shop's repository and what its DVC remote holds, as small as can be, and a run that Prefect has a job do in a clone of it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.conftest import environment

TABLES = ("listings", "images")
ERRAND = """
import subprocess
from pathlib import Path
from prefect import flow
from prefect.states import Completed

@flow
def errand():
    subprocess.run(["dvc", "pull", "--quiet", "data/listings"], check=True)
    shard = Path("data/listings/shard-00000.parquet").resolve()
    return Completed(message=f"{shard} {shard.stat().st_nlink} {oct(shard.stat().st_mode)[-3:]}")
"""


def origin(above: Path, seen: Path | None = None, files: Mapping[str, str] | None = None) -> Path:
    """A repository, `above`/origin, whose DVC remote has a catalogue, and data that no gateway needs. It is cloned where `above` is called
    `seen`."""
    folder = above / "origin"
    for name in (*TABLES, "labels"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "shard-00000.parquet").write_text(name)
    for name, text in {"params.yaml": "another: one\n", **(files or {})}.items():
        (folder / name).write_text(text)
    for command in (
        ["git", "init", "--quiet", "--initial-branch", "main"],
        ["dvc", "init", "--quiet"],
        ["dvc", "remote", "add", "--quiet", "--default", "kept", str(above / "remote")],
        ["dvc", "add", "--quiet", *(f"data/{name}" for name in (*TABLES, "labels"))],
        ["dvc", "push", "--quiet"],
        ["dvc", "remote", "modify", "--quiet", "kept", "url", str((seen or above) / "remote")],
        ["git", "add", "--all"],
        ["git", "-c", "user.name=a", "-c", "user.email=a@shop.example", "commit", "--quiet", "--message", "data"],
    ):
        subprocess.run(command, cwd=folder, env=environment(), check=True)
    return folder


def ordered(api: str) -> str:
    """The id of a run of ERRAND, errand.py of the repository, that a worker would start a job for now."""
    flow = _made(f"{api}/flows/", {"name": "errand"})
    steps = [{"flows.pools.clone.clone": {}}]
    deployment = _made(f"{api}/deployments/", {"name": "one", "flow_id": flow, "entrypoint": "errand.py:errand", "pull_steps": steps})
    return _made(f"{api}/deployments/{deployment}/create_flow_run", {"state": {"type": "PENDING"}})


def told(api: str, run: str) -> str:
    """What the run said in the end, or why it failed."""
    return str(httpx.get(f"{api}/flow_runs/{run}").raise_for_status().json()["state"]["message"])


def _made(url: str, about: Mapping[str, object]) -> str:
    return str(httpx.post(url, json=dict(about)).raise_for_status().json()["id"])
