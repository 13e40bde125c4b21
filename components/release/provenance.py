"""Where a release comes from: the code, the data, the knobs, and who built it with which software."""

import dataclasses
import datetime as dt
import getpass
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.manifest import verified_manifest

GIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """`git_dirty` says that the commit does not hold all that the workspace held. Both are None where it is no Git repository.

    `data` are the digests of the tables that trained it, `data_digest` is one over them all, `params` are those of the training.
    """

    git_commit: str | None
    git_dirty: bool | None
    data: Mapping[str, str]
    data_digest: str
    params: Mapping[str, Any]
    builder: str
    python: str
    platform: str
    packages: Mapping[str, str]
    gathered_at: dt.datetime

    def encode(self) -> bytes:
        """As JSON, sorted."""
        facts = {**dataclasses.asdict(self), "gathered_at": self.gathered_at.astimezone(dt.UTC).isoformat()}
        return json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def gathered(bundle: Path, workspace: Path, at: dt.datetime, environment: Mapping[str, str] = os.environ) -> Provenance:
    """The provenance of a bundle that is published from a workspace. Raises BadBundle where the bundle is none."""
    manifest = verified_manifest(bundle)
    data = dict(manifest.get("data", {}))
    commit = _git(workspace, "rev-parse", "HEAD")
    return Provenance(
        git_commit=commit,
        git_dirty=None if commit is None else bool(_git(workspace, "status", "--porcelain")),
        data=data,
        data_digest=hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest(),
        params=manifest.get("params", {}),
        builder=builder(environment),
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: one.version for name, one in installed().items()},
        gathered_at=at,
    )


def builder(environment: Mapping[str, str]) -> str:
    """Who builds: the run of the CI server, by its address, or a person at a machine."""
    if "GITHUB_RUN_ID" in environment:
        return "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format(**environment)
    if "CI_JOB_URL" in environment:
        return environment["CI_JOB_URL"]
    return f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that nobody has
        return str(os.getuid())


def installed() -> dict[str, importlib.metadata.Distribution]:
    """Every distribution by its normal name, sorted; of two the one that is imported."""
    found: dict[str, importlib.metadata.Distribution] = {}
    for one in importlib.metadata.distributions():
        if name := one.metadata["Name"]:
            found.setdefault(normal_name(name), one)
    return dict(sorted(found.items()))


def normal_name(name: str) -> str:
    """The name as package indexes write it (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def _git(workspace: Path, *arguments: str) -> str | None:
    """What Git says; None where it is not installed or the folder is in no repository with a commit."""
    try:
        done = subprocess.run(["git", *arguments], cwd=workspace, capture_output=True, text=True, timeout=GIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
