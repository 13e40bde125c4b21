"""Pictures that did harm: their hashes in an append-only file, and some of them kept so that a person can look for the cause.

`<state>/quarantine.jsonl` has a line for each condemnation and each release; `<state>/quarantine/<sha256>` holds pictures as they came.
"""

import asyncio
import datetime as dt
import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from components.objects import FolderStore
from components.serve.problems import Refused

FILE, FOLDER = "quarantine.jsonl", "quarantine"
EVERY_MODEL = ""

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Entry:
    """A condemned picture: why, and since when (UTC, ISO 8601). `fingerprint` is of the model that it broke; EVERY_MODEL: of decoding."""

    image_id: str
    cause: str
    at: str
    num_bytes: int
    fingerprint: str = EVERY_MODEL


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


class Register:
    """What is condemned, in memory and on disk. At most `max_entries`: beyond, the oldest are forgotten."""

    def __init__(self, state: Path, *, max_entries: int, max_kept: int, max_kept_mib: int, now: Callable[[], str] = _now) -> None:
        """The register as it stood when the last process ended, however it ended. Raises OSError where `state` cannot be written."""
        self._path, self._kept = state / FILE, FolderStore(state / FOLDER)
        self._max_entries, self._max_kept, self._max_kept_bytes = max_entries, max_kept, max_kept_mib * 2**20
        self._now, self._lock = now, threading.Lock()
        state.mkdir(parents=True, exist_ok=True)
        self._entries, self._num_lines = _read(self._path)
        self._shorten()

    def check(self, image_id: str, fingerprint: str = EVERY_MODEL) -> None:
        """Raises Refused picture_quarantined for a picture that is condemned for decoding, or for this model."""
        entry = self._entries.get((image_id, EVERY_MODEL)) or self._entries.get((image_id, fingerprint))
        if entry:
            raise Refused("picture_quarantined", f"condemned at {entry.at}: {entry.cause}")

    def entries(self) -> list[Entry]:
        """What is condemned, newest first."""
        return list(self._entries.values())[::-1]

    def kept(self, image_id: str) -> bytes | None:
        """The picture's bytes, or None where they are not, or no longer, kept."""
        return self._kept.get(image_id) if any(entry.image_id == image_id for entry in self._entries.values()) else None

    async def condemn(self, image_id: str, data: bytes, cause: str, fingerprint: str = EVERY_MODEL) -> None:
        """From now on the picture is refused; durable when this returns, unless the disk fails, which is logged."""
        entry = Entry(image_id, cause, self._now(), len(data), fingerprint)
        if (image_id, fingerprint) in self._entries:
            return
        self._entries[image_id, fingerprint] = entry
        log.error("pictures: %s is quarantined: %s", image_id, cause)
        await self._kept_on_disk(lambda: self._write(entry, data))

    async def release(self, image_id: str) -> bool:
        """True where the picture was condemned and is no more; its bytes are forgotten too."""
        known = [key for key in self._entries if key[0] == image_id]
        for key in known:
            del self._entries[key]
        if known:
            log.warning("pictures: %s is released from quarantine", image_id)
            await self._kept_on_disk(lambda: self._write_release(image_id))
        return bool(known)

    async def _kept_on_disk(self, write: Callable[[], None]) -> None:
        def alone() -> None:
            with self._lock:
                write()

        try:
            await asyncio.to_thread(alone)
        except OSError as error:  # the caller is answered all the same, and this process does not forget
            log.error("pictures: the quarantine cannot be written: %s", error)

    def _write(self, entry: Entry, data: bytes) -> None:
        if len(data) <= self._max_kept_bytes and self._max_kept:
            self._kept.put(entry.image_id, data)
            self._forget_pictures()
        self._append(asdict(entry))
        self._shorten()

    def _write_release(self, image_id: str) -> None:
        self._append({"image_id": image_id, "released_at": self._now()})
        self._kept.delete(image_id)

    def _append(self, line: dict[str, object]) -> None:
        with open(self._path, "ab") as file:
            size = file.tell()
            try:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self._path, size)  # half a line would spoil the next one
                raise
        self._num_lines += 1
        if self._num_lines == 1:
            _sync_folder(self._path.parent)

    def _forget_pictures(self) -> None:
        kept = sorted(self._kept.stored(), key=lambda one: one.modified_s)
        room = sum(one.num_bytes for one in kept)
        while kept and (len(kept) > self._max_kept or room > self._max_kept_bytes):
            oldest = kept.pop(0)
            self._kept.delete(oldest.key)
            room -= oldest.num_bytes

    def _shorten(self) -> None:
        """Forgets the oldest entries, and writes the file anew once half of its lines say nothing any more."""
        for key in list(self._entries)[: max(0, len(self._entries) - self._max_entries)]:
            del self._entries[key]
        if self._num_lines <= 2 * self._max_entries:
            return
        lines = [json.dumps(asdict(entry)) + "\n" for entry in list(self._entries.values())]
        partial = self._path.with_suffix(".partial")
        with open(partial, "w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self._path)
        _sync_folder(self._path.parent)
        self._num_lines = len(lines)


def _read(path: Path) -> tuple[dict[tuple[str, str], Entry], int]:
    """The entries in the order of their lines, and how many lines there are. A last line that was cut short is cut off."""
    raw = path.read_bytes() if path.exists() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
        log.warning("pictures: %s ended in half a line, which is cut off", path)
    entries: dict[tuple[str, str], Entry] = {}
    lines = whole.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            said = json.loads(line)
            _apply(entries, said)
        except (ValueError, TypeError, KeyError):
            log.warning("pictures: line %d of %s cannot be read and is left out", number, path)
    return entries, len(lines)


def _apply(entries: dict[tuple[str, str], Entry], said: dict[str, object]) -> None:
    if "released_at" not in said:
        entry = Entry(**said)  # type: ignore[arg-type]
        entries[entry.image_id, entry.fingerprint] = entry
        return
    for key in [key for key in entries if key[0] == said["image_id"]]:
        del entries[key]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
