"""Whether this folder is one a flow can work in: its files are there, and nobody else is at work."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import zc.lockfile

from components.contract import PARAMS, STATE
from components.errors import BadWorkspace, StageBusy
from components.process import alone
from flows.dag import DVC_YAML

log = logging.getLogger("vitrine")

CLOCK_SLACK_S = 2.0  # the kernel's start times and a file's mtime come from two clocks


@dataclass(frozen=True)
class Holder:
    """A process that DVC's rwlock names, and the command it was started with."""

    pid: int
    command: str


@contextmanager
def taken(say: Callable[[str], None] = log.info) -> Iterator[None]:
    """Holds the workspace for one retrain run: files checked, no other run here, locks of dead DVC processes removed.

    Raises BadWorkspace for what is missing, StageBusy, with the pid, where another process is at work.
    """
    root = dvc_root()
    with alone("retrain", STATE / "locks"):
        release_stale(root / ".dvc" / "tmp", say)
        yield


def dvc_root(folder: Path | None = None) -> Path:
    """The nearest folder upwards that holds .dvc. Raises BadWorkspace where there is none, or no params.yaml or dvc.yaml here."""
    folder = (folder or Path()).resolve()
    for name in (PARAMS, DVC_YAML):
        if not (folder / name).is_file():
            raise BadWorkspace(f"{name} not found in {folder}: run this in the folder that holds params.yaml and dvc.yaml")
    for root in (folder, *folder.parents):
        if (root / ".dvc").is_dir():
            return root
    raise BadWorkspace(f"{folder} is in no DVC repository: run `dvc init` (or `dvc init --subdir`) there once")


def release_stale(tmp: Path, say: Callable[[str], None] = log.info) -> None:
    """Removes DVC's rwlock in `tmp` if every process it names is gone. Raises StageBusy, naming the pid, where one still works.

    DVC itself asks only whether the pid exists, so a pid that was given to another process since would block it for ever.
    """
    path = tmp / "rwlock"
    if not path.exists():
        return
    with _edited(tmp):
        holders = _holders(path)
        for holder in holders:
            if is_alive(holder.pid, path.stat().st_mtime):
                raise StageBusy(
                    f"another DVC command works in this workspace: pid {holder.pid} ({holder.command}). Wait for it to end, or stop it; "
                    f"if that process is not DVC's, remove {path}."
                )
        path.unlink()
    for holder in holders:
        say(f"removed the lock of a DVC process that is gone: pid {holder.pid} ({holder.command})")


def is_alive(pid: int, entry_time_s: float) -> bool:
    """Whether `pid` is still the process that wrote an entry at `entry_time_s` (Unix time): one that started later is another."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= entry_time_s + CLOCK_SLACK_S)
    except psutil.NoSuchProcess:
        return False


def _holders(path: Path) -> list[Holder]:
    try:
        return sorted({Holder(int(info["pid"]), str(info["cmd"])) for info in _infos(json.loads(path.read_text()))}, key=lambda h: h.pid)
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # cut short by a kill while it was written: under the guard nobody is writing it now


def _infos(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from content.get("write", {}).values()
    for readers in content.get("read", {}).values():
        yield from readers


@contextmanager
def _edited(tmp: Path) -> Iterator[None]:
    """Holds the guard under which DVC edits its rwlock."""
    try:
        guard = zc.lockfile.LockFile(str(tmp / "rwlock.lock"))
    except zc.lockfile.LockError:
        raise StageBusy(f"another DVC command is starting or ending in this workspace ({tmp / 'rwlock.lock'}): try again") from None
    try:
        yield
    finally:
        guard.close()
