"""One stage, run by DVC in a process group of its own, which neither its time limit nor a dying flow leaves behind."""

import os
import re
import selectors
import subprocess
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from components.contract import read_params
from components.errors import StageBusy, VitrineError
from flows.dag import Stage
from flows.diagnosis import BUSY, Failure, cause
from flows.group import Footprint, end_group
from flows.memory import kernel_kills, limit_mib

Verdict = Literal["ran", "restored", "unchanged", "frozen"]

TAIL_LINES = 8
READ_LINES = 200
# It waits for the lock of a short command, such as `dvc status`, also at a stage's end: without, hours of work may fail to be written down.
DVC = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item")
# What DVC 3 says; a test holds these to the DVC that is installed.
HINTS = ("To track the changes with git", "git add dvc.lock", "To enable auto staging", "dvc config core.autostage", "Use `dvc push`")
RAN, RESTORED, UNCHANGED = "Running stage '{}':", "Stage '{}' is cached - skipping run", "Stage '{}' didn't change, skipping"
FROZEN = "stage: '{}' is frozen."
PULLING = "Pulling data for stage: '{}'"  # unchanged but for outs that are not here; where they cannot be had, it runs


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """DVC's verdict on a stage and the seconds it took, DVC's own included.

    ran; restored from DVC's run cache; unchanged; frozen: held as it is by `dvc freeze`, whatever changed before it.
    """

    stage: str
    verdict: Verdict
    seconds: float


class StageFailed(VitrineError):
    """A stage ended with an error. `cause` says how in a few words, `tail` holds its last lines."""

    def __init__(self, stage: str, cause: str, tail: tuple[str, ...]) -> None:
        super().__init__(f"{stage} {cause}. Its last lines:\n" + "\n".join(f"    {line}" for line in tail))
        self.stage, self.cause, self.tail = stage, cause, tail

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.stage})"  # Prefect prints it beside the cause


class StageTimedOut(StageFailed):
    """A stage ran into meta.timeout_s of dvc.yaml and was ended with all its processes."""


class StageBlocked(StageFailed, StageBusy):
    """DVC did not start a stage, since another DVC command works on what it reads or writes."""


def run_stage(stage: Stage, log: Callable[[str], None], command: tuple[str, ...] = DVC) -> StageRun:
    """What DVC made of the stage, after its process group is gone. Each line of its output is handed to `log` as it comes.

    Raises StageFailed where DVC or the stage failed, StageBlocked where it did not start, StageTimedOut after meta.timeout_s. However
    this function is left, also by KeyboardInterrupt, no process of the stage stays alive.
    """
    started, kills = time.monotonic(), kernel_kills()
    verdict: Verdict | None = None
    lines: deque[str] = deque(maxlen=READ_LINES)
    with _group([*command, stage.name]) as leader:
        footprint = Footprint(leader.pid)
        try:
            for line in _lines(leader, started + stage.timeout_s, footprint.look):
                if line.strip().startswith(HINTS):
                    continue  # advice for someone at a prompt
                log(line)
                lines.append(line)
                verdict = verdict if verdict == "frozen" else verdict_in(line, stage.name) or verdict
        except TimeoutError:
            limit = f"ran into its limit of {stage.timeout_s} s (meta.timeout_s in dvc.yaml)"
            raise StageTimedOut(stage.name, limit, _tail(lines)) from None
    seconds = round(time.monotonic() - started, 2)
    if leader.returncode:
        failure = Failure(
            stage=stage.name,
            status=leader.returncode,
            seconds=seconds,
            lines=tuple(lines),
            peak_mib=footprint.peak_mib,
            limit_mib=limit_mib(),
            by_kernel=None if kills is None else kernel_kills() != kills,
            was_frozen=verdict == "frozen",
        )
        kind = StageBlocked if verdict is None and BUSY.search("\n".join(lines)) else StageFailed
        raise kind(stage.name, cause(failure, read_params()), _tail(lines))
    if verdict is None:
        raise StageFailed(stage.name, "ended well, but DVC did not say whether it ran: is another DVC installed?", _tail(lines))
    return StageRun(stage=stage.name, verdict=verdict, seconds=seconds)


def _tail(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(lines)[-TAIL_LINES:]


def verdict_in(line: str, stage: str) -> Verdict | None:
    """What DVC's line says of the stage; None for any other line. A frozen stage gets a second line, which adds nothing."""
    if FROZEN.format(stage) in line:
        return "frozen"
    if line.startswith(RAN.format(stage)):
        return "ran"
    if line.startswith(RESTORED.format(stage)):
        return "restored"
    return "unchanged" if line.startswith((UNCHANGED.format(stage), PULLING.format(stage))) else None


def run_guarded(command: Sequence[str], limit_s: float, log: Callable[[str], None]) -> int:
    """The exit status of another command, which lives and dies as a stage does. Raises TimeoutError after `limit_s` seconds."""
    with _group(list(command)) as leader:
        for line in _lines(leader, time.monotonic() + limit_s, lambda: None):
            log(line)
    return leader.returncode


@contextmanager
def _group(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The guarded command's process, leader of a new group; afterwards the group is empty and the leader's return code known."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])  # where `vitrine` is
    modules = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])  # an image may hold older code than this folder
    leader = subprocess.Popen(
        [sys.executable, "-m", "flows.launch", str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": modules, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield leader
    finally:
        end_group(leader)
        assert leader.stdout is not None
        leader.stdout.close()


def _has_ended(leader: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None  # WNOWAIT: its pid must stay ours


def _lines(leader: subprocess.Popen[bytes], deadline: float, meanwhile: Callable[[], None]) -> Iterator[str]:
    """The leader's output, line by line, until it ends; `meanwhile` is called again and again.

    A carriage return ends a line too. Raises TimeoutError at the deadline.
    """
    assert leader.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(leader.stdout, selectors.EVENT_READ)
        rest, is_open = b"", True
        while is_open or not _has_ended(leader):
            if (left_s := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            meanwhile()
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
