"""A first release for the show: the workspace's own line with less training, in a folder of its own: the workspace keeps its bundle.

What the changes leave alone is taken from the workspace's DVC cache; the rest is made by the same stages, gates and evaluation.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from components.contract import CACHE, PARAMS, path_of, read_params
from components.errors import BadWorkspace, VitrineError
from components.objects import S3
from flows.children import child
from flows.dag import DVC_YAML
from flows.workspace import DVC_LOCK

COPIED = ("components", "flows", ".dvcignore", str(DVC_YAML), str(DVC_LOCK), "data/snapshot.json", "data/history.json")
DVC_CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n[cache]\n    dir = {}\n"
TOLD = ("Running stage", "finetune: epoch", "is cached - skipping run")


def train(folder: Path, changes: Mapping[str, Any], say: Callable[[str], None]) -> Path:
    """The bundle that the line makes in `folder` with the changes to params.yaml. Raises BadWorkspace where the workspace has run no line,
    VitrineError where a stage fails; what a run before this one finished there is not made again."""
    if not DVC_LOCK.exists():
        raise BadWorkspace(f"{DVC_LOCK} does not exist: run `vitrine retrain` first, the show begins with what it leaves")
    _lay_out(folder, changes)
    log = folder / "repro.log"
    with child([sys.executable, "-m", "dvc", "repro"], folder, log) as process:
        _follow(process, log, say)
    if process.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        raise VitrineError("the first release could not be trained. Its last lines:\n" + "\n".join(f"    {line}" for line in tail))
    return folder / path_of("bundle", read_params(folder / PARAMS))


def _lay_out(folder: Path, changes: Mapping[str, Any]) -> None:
    """The code, the DAG with its lock, and the params, with the workspace's caches."""
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(name).is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(name, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif name != str(DVC_LOCK) or not target.exists():  # a lock that a killed run left knows what it finished
            shutil.copy2(name, target)
    params = merged(read_params(), changes)
    if not params[CACHE]["url"].startswith(S3):
        params[CACHE]["url"] = str(Path(params[CACHE]["url"]).resolve())
    (folder / PARAMS).write_text(yaml.safe_dump(params, allow_unicode=True, sort_keys=False), encoding="utf-8")
    (folder / ".dvc").mkdir(exist_ok=True)
    (folder / ".dvc/config").write_text(DVC_CONFIG.format(_cache_folder()), encoding="utf-8")


def merged(params: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The params with the leaves of `changes` in their places."""
    inner = {name: merged(params.get(name) or {}, value) if isinstance(value, Mapping) else value for name, value in changes.items()}
    return {**params, **inner}


def _cache_folder() -> Path:
    found = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(os.path.abspath(found.stdout.strip()))


def _follow(process: "subprocess.Popen[bytes]", log: Path, say: Callable[[str], None]) -> None:
    """Tells of the log's lines that show progress, until the process has ended."""
    with open(log, encoding="utf-8", errors="replace") as file:
        while True:
            running = process.poll() is None
            for line in file:
                if any(mark in line for mark in TOLD):
                    say(f"first release: {line.strip()}")
            if not running:
                return
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
