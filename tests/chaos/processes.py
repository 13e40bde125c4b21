"""The processes of a workspace, known by a mark in their environment, which children inherit and orphans keep."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "VITRINE_CHAOS"
POLL_S = 0.01


@dataclass(frozen=True)
class Process:
    """A living process: what it is (flow, dvc, stage or other) and the stage that it works on, where its command line says so."""

    pid: int
    kind: str
    stage: str | None
    command: str


def marked(mark: str) -> list[Process]:
    """Every living process whose environment carries the mark. Zombies have no environment any more."""
    return [process for folder in Path("/proc").glob("[0-9]*") if (process := _process(folder, f"{MARK}={mark}".encode()))]


def _process(folder: Path, mark: bytes) -> Process | None:
    try:
        if mark not in (folder / "environ").read_bytes().split(b"\0"):
            return None
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return None  # it ended while we looked, or is not ours to read
    return Process(int(folder.name), *_kind(words), " ".join(words))


def _kind(words: list[str]) -> tuple[str, str | None]:
    if words[1:3] == ["-m", "dvc"]:
        return "dvc", words[-1] if "--single-item" in words else None
    if len(words) > 2 and Path(words[1]).name == "vitrine":
        return ("stage", words[3]) if words[2] == "run" else ("flow", None)
    return "other", None


def kill(process: Process, number: signal.Signals = signal.SIGKILL) -> bool:
    """Whether the signal could be sent: False where the process is gone."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
        return True
    return False


def await_gone(mark: str, limit_s: float, but: Process | None = None) -> list[Process]:
    """Who of the mark, `but` one apart, still lives after the limit; returns as soon as nobody does."""
    deadline = time.monotonic() + limit_s
    while (left := [process for process in marked(mark) if but is None or process.pid != but.pid]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return left
