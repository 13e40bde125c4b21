"""Objects of a source as files on this machine, each held to the digest that was pinned."""

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from components.contract import when_placed
from components.errors import BadData, BadPicture, TooLarge
from components.images import MAX_PICTURE_BYTES
from components.ingest.snapshot import FileDigest, changed_since, file_sha256, gone_since
from components.ingest.tables.downloads import HERE, Downloads
from components.ingest.tables.keys import check_key
from components.objects import Calls, FolderStore, ObjectStore, Stored, open_store, told
from components.progress import track

AT_ONCE = 8
FETCH = Calls(connect_s=10, read_s=20, attempts=10)  # many objects: where one call in five fails, six tries lose one in 15,000 of them
UNREAD = ""  # digest of a picture that has too many bytes to be one: its size alone decides

One = TypeVar("One")
Made = TypeVar("Made")


@dataclass
class Depot:
    """The source at `url`: a folder is read where it lies, a bucket fetched into `downloads`."""

    url: str
    store: ObjectStore
    downloads: Downloads
    _seen: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str, downloads: Path = HERE, calls: Calls = FETCH) -> "Depot":
        """The depot of a folder or s3://bucket/prefix."""
        return cls(url, open_store(url, calls), Downloads(downloads, url))

    @property
    def root(self) -> Path | None:
        """The folder; None for a bucket."""
        return self.store.root if isinstance(self.store, FolderStore) else None

    def pin(self, there: Iterable[Stored]) -> dict[str, FileDigest]:
        """What these objects hold now, by key. Those whose version is known are not fetched. Raises BadData where one changes meanwhile."""
        wanted = list(there)
        return dict(zip((one.key for one in wanted), self._each(self._pinned, wanted, "objects read"), strict=True))

    def pin_photos(self, there: Iterable[Stored]) -> dict[str, FileDigest]:
        """pin(), but that what has too many bytes to be a photo is not read, and links that lead out of the folder are left out."""
        wanted = [one for one in there if not self.root or leads_inside(self.root, one.key)]
        huge = {one.key: FileDigest(sha256=UNREAD, bytes=one.num_bytes) for one in wanted if one.num_bytes > MAX_PICTURE_BYTES}
        return self.pin(one for one in wanted if one.key not in huge) | huge

    def _pinned(self, one: Stored) -> FileDigest:
        if self.root:
            path = self._inside(one.key)
            with told(path):
                return FileDigest(sha256=file_sha256(path), bytes=path.stat().st_size)
        if known := self.downloads.known(one):
            return known
        try:
            digest = self.downloads.fetch(self.store, one.key, one.num_bytes)
        except TooLarge:
            digest = None
        if digest is None or digest.bytes != one.num_bytes:
            raise BadData(f"{one.key} in {self.url} was changed while the snapshot was taken: take it again")
        self.downloads.note(one, digest)
        return digest

    def fetch(self, files: Mapping[str, FileDigest]) -> None:
        """Brings here what is not here yet. Raises BadData for the first object that is gone or holds something else than was pinned."""
        if self.root is None:
            when_placed(self.downloads.trim)
            missing = [key for key, digest in files.items() if digest.sha256 != UNREAD and not self.downloads.has(digest)]
            self._each(lambda key: self._fetch(key, files[key]), missing, "objects fetched")

    def _fetch(self, key: str, digest: FileDigest) -> None:
        try:
            found = self.downloads.fetch(self.store, key, digest.bytes)
        except TooLarge:
            raise changed_since(key, self.url) from None
        if found is None:
            raise gone_since(key, self.url)
        if found != digest:
            raise changed_since(key, self.url)

    def path(self, key: str, digest: FileDigest) -> Path:
        """The file with the bytes that were pinned. Raises BadData where it holds others."""
        if self.root is None:
            if not self.downloads.has(digest):
                self._fetch(key, digest)
            return self.downloads.at(digest.sha256)
        path = self._inside(key)
        with told(path):
            if not path.is_file():
                raise gone_since(key, self.url)
            state = _state(path)
            if self._seen.get(key) != state:
                if file_sha256(path) != digest.sha256:
                    raise changed_since(key, self.url)
                self._seen[key] = state
        return path

    def still(self, key: str) -> None:
        """Raises BadData where the file was written to, or taken away, since path() gave it."""
        if self.root and (not (self.root / key).exists() or self._seen.get(key) != _state(self.root / key)):
            raise changed_since(key, self.url)

    def picture(self, key: str, digest: FileDigest | None) -> bytes:
        """The bytes of a photo by its key. Raises BadPicture where there is none to be had, BadData where it is not what was pinned."""
        check_key(key)
        if digest is None:
            if self.root and not leads_inside(self.root, key):
                raise BadPicture("picture_outside_folder", f"{key[:200]!r} leads out of the folder")
            raise BadPicture(
                "picture_missing", f"no object {key[:200]!r} when the snapshot was taken" if key else "the row names no picture"
            )
        if digest.bytes > MAX_PICTURE_BYTES:
            raise BadPicture("picture_too_many_bytes", f"{digest.bytes} bytes, limit {MAX_PICTURE_BYTES}")
        path = self._inside(key) if self.root else self.path(key, digest)
        with told(path):
            if not path.is_file():
                raise gone_since(key, self.url)
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest.sha256:
            raise changed_since(key, self.url)
        return data

    def _inside(self, key: str) -> Path:
        assert self.root is not None
        if not leads_inside(self.root, key):
            raise BadData(f"{key} is a link that leads out of {self.url}: put the file itself there")
        return self.root / key

    def _each(self, act: Callable[[One], Made], wanted: list[One], what: str) -> list[Made]:
        """What `act` made of each, in order; several at once from a bucket. The first failure lets what has not begun be."""
        if self.root:
            return [act(one) for one in track(wanted, len(wanted), what)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                return list(track(pool.map(act, wanted), len(wanted), what))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def leads_inside(root: Path, key: str) -> bool:
    """Whether the key, links followed, lies below the root."""
    try:
        return (root / posixpath.normpath(key)).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def _state(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns
