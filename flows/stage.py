"""One stage, run by DVC in a process group of its own, which neither its time limit nor a dying flow leaves behind."""

import os
import re
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.errors import VitrineError
from flows.dag import Stage

Verdict = Literal["ran", "restored", "unchanged"]

TAIL_LINES = 8
GRACE_S = 5.0
DVC = (sys.executable, "-m", "dvc", "repro", "--single-item")
# What DVC 3 says; a test holds these to the DVC that is installed.
HINTS = ("To track the changes with git", "git add dvc.lock", "To enable auto staging", "dvc config core.autostage", "Use `dvc push`")
RAN, RESTORED, UNCHANGED = "Running stage '{}':", "Stage '{}' is cached - skipping run", "Stage '{}' didn't change, skipping"


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """DVC's verdict on a stage (ran; restored from its run cache; unchanged) and the seconds it took, DVC's own included."""

    stage: str
    verdict: Verdict
    seconds: float


class StageFailed(VitrineError):
    """A stage ended with an error. `cause` says how in a few words, `tail` holds its last lines."""

    def __init__(self, stage: str, cause: str, tail: tuple[str, ...]) -> None:
        super().__init__(f"{stage} {cause}. Its last lines:\n" + "\n".join(f"    {line}" for line in tail))
        self.stage, self.cause, self.tail = stage, cause, tail

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.stage} {self.cause})"


class StageTimedOut(StageFailed):
    """A stage ran into meta.timeout_s of dvc.yaml and was ended with all its processes."""


def run_stage(stage: Stage, log: Callable[[str], None], command: tuple[str, ...] = DVC) -> StageRun:
    """What DVC made of the stage, after its process group is gone. Each line of its output is handed to `log` as it comes.

    Raises StageFailed where DVC or the stage failed, StageTimedOut after meta.timeout_s. However this function is left,
    also by KeyboardInterrupt, no process of the stage stays alive.
    """
    started = time.monotonic()
    verdict: Verdict | None = None
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with _group([*command, stage.name]) as leader:
        try:
            for line in _lines(leader, deadline=started + stage.timeout_s):
                if line.strip().startswith(HINTS):
                    continue  # advice for someone at a prompt
                log(line)
                tail.append(line)
                verdict = verdict_in(line, stage.name) or verdict
        except TimeoutError:
            limit = f"ran into its limit of {stage.timeout_s} s (meta.timeout_s in dvc.yaml)"
            raise StageTimedOut(stage.name, limit, tuple(tail)) from None
    seconds = round(time.monotonic() - started, 2)
    if leader.returncode:
        raise StageFailed(stage.name, f"failed after {seconds:.1f} s", tuple(tail))
    if verdict is None:
        raise StageFailed(stage.name, "ended well, but DVC did not say whether it ran: is another DVC installed?", tuple(tail))
    return StageRun(stage=stage.name, verdict=verdict, seconds=seconds)


def verdict_in(line: str, stage: str) -> Verdict | None:
    """What DVC's line says of the stage; None for any other line."""
    if line.startswith(RAN.format(stage)):
        return "ran"
    if line.startswith(RESTORED.format(stage)):
        return "restored"
    return "unchanged" if line.startswith(UNCHANGED.format(stage)) else None


@contextmanager
def _group(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The guarded command's process, leader of a new group; afterwards the group is empty and the leader's return code known."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])  # where `vitrine` is
    leader = subprocess.Popen(
        [sys.executable, "-m", "flows.launch", str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield leader
    finally:
        end_group(leader)
        assert leader.stdout is not None
        leader.stdout.close()


def end_group(leader: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
    """Ends what is left of the leader's process group: SIGTERM, and SIGKILL after the grace. Returns when all of it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _empties(leader.pid, within_s=0):
            break
        os.killpg(leader.pid, number)
        if _empties(leader.pid, within_s=grace_s):
            break
    leader.wait()


def _empties(group: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while _alive_in(group):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _alive_in(group: int) -> bool:
    """Whether a process of the group still runs. Zombies do not count: the leader stays one until waited for, and keeps its pid ours."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, its_group = stat.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue  # it ended while we looked
        if int(its_group) == group and state not in "ZX":
            return True
    return False


def _has_ended(leader: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None  # WNOWAIT: its pid must stay ours


def _lines(leader: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    """The leader's output, line by line, until it ends. A carriage return ends a line too. Raises TimeoutError at the deadline."""
    assert leader.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(leader.stdout, selectors.EVENT_READ)
        rest, is_open = b"", True
        while is_open or not _has_ended(leader):
            if (left_s := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            if not is_open:
                time.sleep(min(left_s, 0.05))
            elif waiting.select(min(left_s, 0.5)):
                chunk = os.read(leader.stdout.fileno(), 1 << 16)
                is_open = bool(chunk)
                *lines, rest = re.split(rb"[\r\n]+", rest + chunk)
                yield from (line.decode(errors="replace") for line in lines if line.strip())
            elif _has_ended(leader):
                break  # a process it left behind still holds the pipe
        if rest.strip():
            yield rest.decode(errors="replace")
