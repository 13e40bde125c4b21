"""How a stage's process lives and dies: with its parent, and alone in its workspace."""

import ctypes
import fcntl
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from components.errors import StageBusy

PR_SET_PDEATHSIG = 1
SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ash", "ksh"}
LOOK_S = 0.2  # between two looks at a lock that another process holds

log = logging.getLogger("vitrine")

T = TypeVar("T")


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent dies, also by SIGKILL (prctl(2), PR_SET_PDEATHSIG).

    Shells between this process and the one that counts are looked through: a thread watches the first ancestor that is none.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent or ("DVC_STAGE" in os.environ and not _below_dvc()):
        os._exit(128 + signal.SIGKILL)  # it died before the kernel was asked
    starter = parent
    while _name_of(starter) in SHELLS:
        starter = _parent_of(starter)
    if starter != parent and starter > 1:
        threading.Thread(target=_exit_after, args=(starter,), daemon=True).start()


def _below_dvc() -> bool:
    """True where some ancestor is a DVC process: a stage that DVC started and that has none was orphaned while it was starting."""
    pid = os.getppid()
    while pid > 1:
        if "dvc" in _command_of(pid):
            return True
        pid = _parent_of(pid)
    return False


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace(chr(0), " ")
    except OSError:
        return ""


def _exit_after(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(128 + signal.SIGKILL)
    select.select([handle], [], [])
    os._exit(128 + signal.SIGKILL)


def _stat_of(pid: int) -> tuple[str, list[str]]:
    text = Path(f"/proc/{pid}/stat").read_text()
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :]
    return name, rest.split()


def _name_of(pid: int) -> str:
    try:
        return _stat_of(pid)[0]
    except OSError:
        return ""


def _parent_of(pid: int) -> int:
    try:
        return int(_stat_of(pid)[1][1])
    except OSError:
        return 0


@contextmanager
def alone(name: str, locks: Path, wait_s: float = 0.0, say: Callable[[str], None] = log.info) -> Iterator[None]:
    """Holds the lock `name` in the folder `locks` for the block; the kernel frees it with the process, however it ends.

    Waits up to `wait_s` seconds for another process that has it, whose pid is said once. Raises StageBusy, with the pid, after that.
    """
    locks.mkdir(parents=True, exist_ok=True)
    with open(locks / f"{name}.lock", "a+") as file:
        patiently(lambda: _lock(file, name), wait_s, say)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _lock(file: IO[str], name: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise StageBusy(
            f"{name} is already running in this workspace (pid {file.read().strip() or 'unknown'}). "
            "Wait for it to end, or stop that process; nothing was changed."
        ) from None


def patiently(act: Callable[[], T], wait_s: float, say: Callable[[str], None] = log.info) -> T:
    """What `act` returns, once it does not raise StageBusy any more. Whom it waits for is said, and again where that changes.

    Raises the last StageBusy after `wait_s` seconds, at once where they are 0.
    """
    deadline, told = time.monotonic() + wait_s, ""
    while True:
        try:
            return act()
        except StageBusy as busy:
            if (left_s := deadline - time.monotonic()) <= 0:
                raise
            if (now := str(busy).partition(". ")[0]) != told:
                told = now
                say(f"{told}; waiting for it, {left_s:.0f} s at most (workspace.wait_s in params.yaml, or --wait)")
        time.sleep(min(LOOK_S, left_s))
