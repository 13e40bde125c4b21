"""Whether this folder is one a flow can work in: its files are there, and nobody else is at work, or not for long any more."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import zc.lockfile
from pydantic import Field

from components.contract import PARAMS, STATE, Config, bind, read_params
from components.errors import BadParams, BadWorkspace, StageBusy
from components.process import alone, patiently
from components.shortage import told
from flows.dag import DVC_YAML

log = logging.getLogger("vitrine")

T = TypeVar("T")

DVC_LOCK = Path("dvc.lock")
CLOCK_SLACK_S = 2.0  # the kernel's start times and a file's mtime come from two clocks


@dataclass(frozen=True)
class Holder:
    """A process that DVC's rwlock names, and the command it was started with."""

    pid: int
    command: str


class WorkspaceConfig(Config):
    """`wait_s`: how long a command waits for another one at work in the workspace; 0: it fails at once."""

    wait_s: float = Field(ge=0)


def wait_limit(asked_s: float | None = None) -> float:
    """Seconds to wait for another process at work here: those asked for at the command line, else workspace.wait_s.

    Raises BadParams for a negative time, BadWorkspace where there is no params.yaml.
    """
    if asked_s is not None and not asked_s >= 0:
        raise BadParams(f"--wait {asked_s:g} is no time to wait: give seconds, or 0 to fail at once")
    return bind(WorkspaceConfig, "workspace", read_params()).wait_s if asked_s is None else asked_s


@contextmanager
def taken(say: Callable[[str], None] = log.info, wait_s: float = 0.0) -> Iterator[None]:
    """Holds the workspace for one retrain run: files checked, no other run here, and made ready.

    Raises BadWorkspace for what is missing, StageBusy, with the pid, where another process is still at work after `wait_s` seconds,
    DiskFull where not even a lock can be written.
    """
    dvc_root()
    deadline = time.monotonic() + wait_s
    with ExitStack() as held:
        with told("retrain", STATE / "tmp", {}):
            held.enter_context(alone("retrain", STATE / "locks", wait_s, say))
            make_ready(say, max(0.0, deadline - time.monotonic()))
        yield


def make_ready(say: Callable[[str], None] = log.info, wait_s: float = 0.0) -> None:
    """Mends what a killed DVC left behind: its lock, and a dvc.lock that it had begun to write.

    Raises StageBusy where a DVC command is still at work after `wait_s` seconds.
    """
    tmp = dvc_root() / ".dvc" / "tmp"

    def tried() -> None:
        release_stale(tmp, say)
        mend_lock_file(tmp, say=say)

    patiently(tried, wait_s, say)


def undisturbed(act: Callable[[], T], say: Callable[[str], None] = log.info, wait_s: float = 0.0) -> T:
    """What `act`, which runs DVC, returns, made ready for: a try before it may have been killed.

    Where a person's DVC is quicker (StageBusy), it is waited for and `act` is tried again. Raises the last StageBusy after `wait_s`
    seconds, and whatever else `act` raises.
    """

    def tried() -> T:
        make_ready(say)
        return act()

    return patiently(tried, wait_s, say)


def mend_lock_file(tmp: Path, path: Path = DVC_LOCK, kept: Path = STATE / "dvc.lock", say: Callable[[str], None] = log.info) -> None:
    """Keeps a copy of dvc.lock; where dvc.lock was cut short, puts the copy back, or without one sets it aside.

    DVC writes the file in place at the end of each stage, so a kill or a full disk may leave the beginning of it. What an older copy
    does not name, DVC takes from its run cache. Raises StageBusy where a living DVC may be writing it just now.
    """
    if not path.exists():
        return
    if _is_whole(text := path.read_bytes()):
        with suppress(OSError):  # on a full disk the older copy stays
            _replaced(kept, text)
        return
    with _locked(tmp / "lock"):  # DVC holds it while it writes
        if _is_whole(path.read_bytes()):
            return  # it was being written
        if kept.exists():
            _replaced(path, kept.read_bytes())
            say("dvc.lock was cut short by a kill or a full disk: put back as the last flow found it")
        else:
            path.rename(kept.with_name("dvc.lock.cut"))
            say(f"dvc.lock was cut short by a kill or a full disk: set aside as {kept.with_name('dvc.lock.cut')}")


def _is_whole(dvc_lock: bytes) -> bool:
    return dvc_lock.endswith(b"\n")


def _replaced(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)


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
    with _locked(tmp / "rwlock.lock"):  # under which DVC edits it
        holders = _holders(path)
        for holder in holders:
            if is_alive(holder, path.stat().st_mtime):
                raise StageBusy(
                    f"another DVC command works in this workspace: pid {holder.pid} ({holder.command}). Wait for it to end, or stop it; "
                    f"if that process is not DVC's, remove {path}."
                )
        path.unlink()
    for holder in holders:
        say(f"removed the lock of a DVC process that is gone: pid {holder.pid} ({holder.command})")


def is_alive(holder: Holder, entry_time_s: float) -> bool:
    """Whether the process that wrote an entry at `entry_time_s` (Unix time) or before still runs.

    Its pid may have been given to another process since: to one that started later, or, as every DVC command renews the file's time,
    to one that was started with another command. A process that is just being started has no command line yet, and counts.
    """
    try:
        process = psutil.Process(holder.pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.create_time() > entry_time_s + CLOCK_SLACK_S:
            return False
        command_line = process.cmdline()
        return not command_line or _is_same_command(holder.command, command_line)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _is_same_command(entry: str, command_line: Sequence[str]) -> bool:
    """DVC notes sys.argv: the arguments as they are, before them the program, which may be the path of a module run with -m."""
    program, _, arguments = entry.partition(" ")
    names = {Path(program).name, Path(program).parent.name}
    return " ".join(command_line).endswith(arguments) and any(Path(word).name in names for word in command_line if word)


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
def _locked(path: Path) -> Iterator[None]:
    """Holds one of DVC's own locks. Raises StageBusy where a DVC command does."""
    path.parent.mkdir(exist_ok=True)  # a fresh clone has none yet
    try:
        guard = zc.lockfile.LockFile(str(path))
    except zc.lockfile.LockError:
        raise StageBusy(f"another DVC command is starting or ending in this workspace ({path}): try again") from None
    try:
        yield
    finally:
        guard.close()
