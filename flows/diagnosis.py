"""Why a stage failed, in a few words: what its last lines, its exit status and the kernel say together."""

import re
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.shortage import NO_ROOM_WORDS, advice, fullest, room

# What DVC 3 says; tests hold these to the DVC that is installed.
KILLED_STAGE = re.compile(r"exited with (-9|137)\b")
CUT_SHORT = re.compile(r"No possible cache link types|Unable to read RWLock-file")  # where it could not copy an out, or write its lock
LITTLE_BYTES = 2**20
BUSY = re.compile(r"is busy, it is being blocked by|Unable to acquire lock")
NO_OUTS = re.compile(r"missing data 'sources?': (.*)")
BAD_LOCK = re.compile(r"dvc\.lock' is invalid|unable to read: '\S*dvc\.lock'")
KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What is known of a stage that ended with an error: DVC's exit status, the lines, and what memory showed (MiB).

    `by_kernel`: whether the kernel killed a process for want of memory meanwhile; None where that cannot be told.
    """

    stage: str
    status: int
    seconds: float
    lines: Iterable[str]
    peak_mib: int
    limit_mib: int
    by_kernel: bool | None
    was_frozen: bool


def cause(failure: Failure, params: Mapping[str, Any]) -> str:
    """What happened and what to do, as the end of a sentence that begins with the stage's name."""
    text = "\n".join(failure.lines)
    if KILLED_STAGE.search(text) or failure.status == KILLED:
        return _killed(failure, params)
    return f"failed after {failure.seconds:.1f} s{_hint(failure, text, params)}"


def _killed(failure: Failure, params: Mapping[str, Any]) -> str:
    memory = f"last seen using {failure.peak_mib:,} of {failure.limit_mib:,} MiB"
    if failure.by_kernel:
        return f"was killed by the kernel after {failure.seconds:.1f} s, since memory ran out ({memory}). {advice(failure.stage, params)}"
    doubt = "" if failure.by_kernel is None else ", though not by the kernel of this machine,"
    return (
        f"was killed (signal 9){doubt} after {failure.seconds:.1f} s ({memory}). Unless someone did that, it is most often for want of "
        f"memory. {advice(failure.stage, params)}"
    )


def _hint(failure: Failure, text: str, params: Mapping[str, Any]) -> str:
    if _met_no_room(text, params) and "DiskFull:" not in text:
        return f": the disk is full; {room(fullest(params))}. Make room there (docs/runbook.md#disk-full) and start again"
    if BUSY.search(text):
        return ": another DVC command works in this workspace, see its pid below. Wait for it to end, then start again"
    if failure.was_frozen and (missing := NO_OUTS.search(text)):
        outs = missing.group(1).replace(",", "")
        return f": it is frozen, and what it would have made is not there. `dvc checkout {outs}`, or `dvc unfreeze {failure.stage}`"
    if BAD_LOCK.search(text):
        return ": dvc.lock cannot be read; `git checkout dvc.lock` brings back the committed one (docs/runbook.md#locks)"
    return ""


def _met_no_room(text: str, params: Mapping[str, Any]) -> bool:
    has_little = CUT_SHORT.search(text) is not None and shutil.disk_usage(fullest(params)).free < LITTLE_BYTES
    return has_little or NO_ROOM_WORDS.search(text) is not None
