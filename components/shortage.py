"""What a machine can run out of, room on a disk or memory, told as an error that says where, how much is left and what to do."""

import errno
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.errors import DiskFull, OutOfMemory, VitrineError

DVC = (Path(".dvc", "cache"), Path(".dvc", "tmp"))
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Libraries written in C++ or Rust put the system's words into errors of their own.
NO_ROOM_WORDS = re.compile(r"No space left on device|Disk quota exceeded|os error (28|122)\b")
NO_MEMORY_WORDS = re.compile(r"[Cc]annot allocate memory|can't allocate memory|[Oo]ut of memory|bad_?\s?alloc|Failed to allocate memory")


@contextmanager
def told(doing: str, unfinished: Path, params: Mapping[str, Any]) -> Iterator[None]:
    """Raises what `explained` makes of an error of the block, or the error itself."""
    try:
        yield
    except Exception as error:
        if clear := explained(error, doing, unfinished, params):
            raise clear from error
        raise


def explained(error: BaseException, doing: str, unfinished: Path, params: Mapping[str, Any]) -> VitrineError | None:
    """DiskFull or OutOfMemory where that is what is behind `error`; None for any other error.

    `doing` is the stage or flow, `unfinished` the folder that it writes into, in which the newest file says how far it came.
    """
    if isinstance(error, DiskFull | OutOfMemory):
        return None  # told already
    causes = list(_causes(error))
    if full := next(filter(is_no_room, causes), None):
        return DiskFull(_disk_message(full, doing, unfinished, params))
    if short := next(filter(is_no_memory, causes), None):
        return OutOfMemory(_memory_message(short, doing, params))
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def is_no_room(error: BaseException) -> bool:
    """Whether the error says that a disk or a quota is full."""
    return (isinstance(error, OSError) and error.errno in NO_ROOM) or _says(NO_ROOM_WORDS, error)


def is_no_memory(error: BaseException) -> bool:
    """Whether the error says that memory could not be had."""
    is_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or is_system or _says(NO_MEMORY_WORDS, error)


def _says(words: re.Pattern[str], error: BaseException) -> bool:
    return words.search(str(error)) is not None and not isinstance(error, VitrineError)  # ours may quote another machine's


def _disk_message(error: BaseException, doing: str, unfinished: Path, params: Mapping[str, Any]) -> str:
    named = getattr(error, "filename", None)
    newest = max((path for path in unfinished.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime, default=unfinished)
    written = Path(os.fsdecode(named)) if isinstance(named, str | bytes) else newest
    limit = "the quota is used up" if getattr(error, "errno", 0) == errno.EDQUOT else "the disk is full"
    return (
        f"{doing}: {limit}. It was writing {written}, with {_size_mb(unfinished):.1f} MB written so far; "
        f"{room(written if named else fullest(params, written))}. What was unfinished is removed; finished outs and the work cache are "
        "whole. Make room there (docs/runbook.md#disk-full says what may go) and start the same command again: it goes on from here"
    )


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def fullest(params: Mapping[str, Any], *written: Path) -> Path:
    """Of the folders that a stage writes to, one on the disk with the least room: `written`, the work cache, DVC's, the system's."""
    url = str(params.get("cache", {}).get("url", ""))
    places = [*written, Path(), *DVC, Path(tempfile.gettempdir()), *([Path(url)] if url and "://" not in url else [])]
    return min(map(_existing, places), key=lambda place: shutil.disk_usage(place).free)


def room(path: Path) -> str:
    """How much is free where `path` lies or would lie."""
    folder = _existing(path)
    usage, nodes = shutil.disk_usage(folder), os.statvfs(folder)
    if nodes.f_files and not nodes.f_favail:
        return f"{_mount_of(folder)} holds as many files as it can ({nodes.f_files:,})"
    return f"{usage.free / 1e6:.1f} of {usage.total / 1e6:.1f} MB are free on {_mount_of(folder)}"


def _existing(path: Path) -> Path:
    whole = path.absolute()
    return next(folder for folder in (whole, *whole.parents) if folder.exists())


def _mount_of(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.is_mount())


def _memory_message(error: BaseException, doing: str, params: Mapping[str, Any]) -> str:
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{doing}: out of memory at {peak_mib:,} MiB ({said}). Nothing was changed. {advice(doing, params)}"


def advice(stage: str, params: Mapping[str, Any]) -> str:
    """What a person can do so that the stage needs less memory, with the knobs of its own section as they stand."""
    lower = [f"lower {knob} (now {value})" for knob, value in _knobs(stage, params.get(stage))]
    shards = params.get("ingest", {}).get("num_shards")
    raise_shards = [f"raise ingest.num_shards (now {shards}; a stage holds a shard at a time)"] if shards else []
    return f"In params.yaml {' or '.join(lower + raise_shards)}, or run it where there is more memory; see docs/runbook.md#out-of-memory"


def _knobs(prefix: str, section: Any) -> Iterator[tuple[str, Any]]:
    for key, value in section.items() if isinstance(section, Mapping) else ():
        if key in ("batch_size", "concurrency"):
            yield f"{prefix}.{key}", value
        yield from _knobs(f"{prefix}.{key}", value)
