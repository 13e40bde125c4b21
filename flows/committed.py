"""Committing the snapshot, and nothing else that lies in the working tree."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from components.contract import PARAMS
from components.errors import BadWorkspace

WRITTEN = (("ingest", "source"), ("ingest", "path"), ("ingest", "csv"), ("evaluate", "external_vectors"))  # by `vitrine source`


def check_params() -> None:
    """Raises BadWorkspace where params.yaml has changes that `vitrine source` did not make: those are for a person to commit."""
    now, then = yaml.safe_load(PARAMS.read_text(encoding="utf-8")), yaml.safe_load(_git("show", f"HEAD:./{PARAMS}"))
    if _without_source(now) != _without_source(then):
        raise BadWorkspace("params.yaml has changes of yours, which a snapshot's commit must not sweep in: commit or undo them first")


def _without_source(params: dict[str, Any]) -> dict[str, Any]:
    left_out: dict[str, Any] = {name: dict(section) if isinstance(section, dict) else section for name, section in params.items()}
    for section, key in WRITTEN:
        left_out.get(section, {}).pop(key, None)
    return left_out


def commit(paths: Sequence[Path], message: str) -> bool:
    """True where there was something to commit. Only these files are, whatever else is changed or staged. Raises BadWorkspace."""
    names = [str(path) for path in paths if path.exists()]
    _git("add", "--", *names)
    if not _git("status", "--porcelain", "--", *names):
        return False
    _git("commit", "-q", "-m", message, "--only", "--", *names)
    return True


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise BadWorkspace("git is not installed: --commit needs it") from None
    if done.returncode:
        raise BadWorkspace(f"git {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
