"""What was fetched from a bucket, kept by the sha256 of its bytes: what is there is not fetched again, by this process or a later one."""

import hashlib
import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.contract import STATE
from components.ingest.snapshot import FileDigest, file_sha256
from components.objects import PARTIAL, FolderStore, ObjectStore, Stored, told
from components.work_cache import GIB, cache_config, trim

HERE = STATE / "downloads"
IN_ONE_PIECE = 8 * 1024 * 1024


@dataclass
class Downloads:
    """Objects of the source at `url`. `versions` lead from an object's key and ETag to what it had when it was last read."""

    folder: Path
    url: str
    _versions: dict[str, tuple[str, FileDigest]] = field(default_factory=dict)
    _sound: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for line in self._journal.read_bytes().splitlines() if self._journal.exists() else ():
            if row := _row(line):
                self._versions[row["key"]] = (row["etag"], FileDigest(sha256=row["sha256"], bytes=row["bytes"]))

    @property
    def _objects(self) -> Path:
        return self.folder / "objects"

    @property
    def _journal(self) -> Path:
        return self.folder / f"versions-{hashlib.sha256(self.url.encode()).hexdigest()[:16]}.jsonl"

    def known(self, one: Stored) -> FileDigest | None:
        """What the object holds, where it was read before and is the same version still. A server without ETags is always asked."""
        etag, digest = self._versions.get(one.key, ("", None))
        return digest if digest and etag and etag == one.etag and digest.bytes == one.num_bytes else None

    def note(self, one: Stored, digest: FileDigest) -> None:
        """Remembers what this version of the object holds, a kill notwithstanding."""
        if one.etag:
            row = {"key": one.key, "etag": one.etag, "sha256": digest.sha256, "bytes": digest.bytes}
            with self._lock, told(self._journal), open(self._journal, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            self._versions[one.key] = (one.etag, digest)

    def trim(self) -> None:
        """Removes what was used longest ago, until the rest is within the size that the work cache may have too."""
        trim(FolderStore(self._objects), round(cache_config().max_gib * GIB), "downloads")

    def at(self, sha256: str) -> Path:
        """Where such bytes lie, or would."""
        return self._objects / sha256[:2] / sha256

    def has(self, digest: FileDigest) -> bool:
        """Whether these bytes are here; looked through once a process, and thrown away where they are damaged."""
        path = self.at(digest.sha256)
        if digest.sha256 in self._sound and path.exists():
            return True
        if not path.exists():
            return False
        with told(path):
            if path.stat().st_size != digest.bytes or file_sha256(path) != digest.sha256:
                path.unlink(missing_ok=True)
                return False
            path.touch()  # what was used longest ago goes first
        self._sound.add(digest.sha256)
        return True

    def fetch(self, store: ObjectStore, key: str, num_bytes: int) -> FileDigest | None:
        """What the object holds now, which is then here; None where it is gone. Raises TooLarge past `num_bytes`."""
        with told(self._objects):
            self._objects.mkdir(parents=True, exist_ok=True)
        partial = self._objects / f"{PARTIAL}{uuid.uuid4().hex}"
        try:
            if not _fetched(store, key, partial, num_bytes):
                return None
            with told(partial):
                digest = FileDigest(sha256=file_sha256(partial), bytes=partial.stat().st_size)
                target = self.at(digest.sha256)
                target.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        self._sound.add(digest.sha256)
        return digest


def _row(line: bytes) -> Mapping[str, Any] | None:
    """A line of the journal; None for one that a kill cut short."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and row.keys() >= {"key", "etag", "sha256", "bytes"} else None


def _fetched(store: ObjectStore, key: str, path: Path, num_bytes: int) -> bool:
    """One request for what is small, parts for what is not."""
    if num_bytes > IN_ONE_PIECE:
        return store.download(key, path, num_bytes)
    found = store.read(key, num_bytes)
    if found is None:
        return False
    with told(path):
        path.write_bytes(found.data)
    return True
