"""Where bytes are kept by name: a folder, or a bucket of S3 or of anything that speaks its protocol.

Credentials, region and a self-hosted endpoint come from the environment, as for every AWS client: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3 and so on. None of them is ever written to params.yaml.

What several processes change is changed by compare-and-swap: read() gives a version, swap() writes only where that version still stands.
A key that is swapped is never put.
"""

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from components.errors import BadParams, Conflict, DiskFull, StoreFailed, TooLarge
from components.shortage import is_no_room

S3 = "s3://"
PARTIAL = ".partial-"
LOCK = ".swap.lock"
ABANDONED_S = 24 * 3600.0
LOCK_WAIT_S = 20.0


@dataclass(frozen=True)
class Stored:
    """One object's name, size, and when it was written or last touched (Unix time). A bucket also gives its ETag, which changes when
    its bytes do."""

    key: str
    num_bytes: int
    modified_s: float
    etag: str = ""


@dataclass(frozen=True)
class Versioned:
    """An object's bytes, and the version that swap() asks for."""

    data: bytes
    version: str


@dataclass(frozen=True)
class Calls:
    """How long a call to a bucket may wait for a connection and for each answer, and how often it is tried."""

    connect_s: float
    read_s: float
    attempts: int


PATIENT = Calls(10, 60, 6)


class ObjectStore(Protocol):
    """Objects by key, such as `embed/0a1b/shard-00000/9c.parquet`. A reader sees a whole object or none."""

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is no such object."""

    def put(self, key: str, data: bytes) -> None:
        """Keeps `data` under `key`, replacing what was there in one step."""

    def delete(self, key: str) -> None:
        """Forgets `key`; an unknown key is no error."""

    def touch(self, key: str) -> None:
        """Makes the object count as used now; an unknown key is no error."""

    def stored(self, prefix: str = "") -> Iterator[Stored]:
        """Every object whose key lies below the folder `prefix`, at any depth, sorted by key; half-written ones are not listed."""

    def read(self, key: str, max_bytes: int | None = None) -> Versioned | None:
        """The object with its version, or None. Raises TooLarge, before it reads, where there is more than `max_bytes`."""

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """The new version, after `data` replaced the object in one step. Raises Conflict, and changes nothing, where the object is not at
        `version`, or is there at all where `version` is None; StoreFailed where it cannot be known whether it was written."""

    def check_swaps(self) -> None:
        """Raises StoreFailed where swap() could not be relied on."""

    def upload(self, key: str, path: Path, sha256: str) -> None:
        """Keeps the file's bytes, whose digest is `sha256`, under `key`: in one step, and never all of it in memory."""

    def download(self, key: str, path: Path, max_bytes: int) -> bool:
        """Whether there is such an object; its bytes are then in the file. Raises TooLarge, before it reads, past `max_bytes`."""

    def sha256(self, key: str) -> str | None:
        """The digest of what is there; None where there is nothing. A bucket says what upload() told it, and "" of anything else."""

    def clear_partial(self, prefix: str, before_s: float) -> None:
        """Removes what writers that were killed before then (Unix time) left half-written below `prefix`."""


def open_store(url: str, calls: Calls = PATIENT) -> ObjectStore:
    """The store at `s3://bucket/prefix`, or in the folder that `url` names. Raises BadParams for any other scheme."""
    if url.startswith(S3):
        bucket, _, prefix = url.removeprefix(S3).partition("/")
        if not bucket:
            raise BadParams(f"{url!r} names no bucket: write s3://bucket/prefix")
        from components.bucket import S3Store, client

        return S3Store(bucket, prefix.strip("/"), client(calls))
    if "://" in url:
        raise BadParams(f"{url!r}: objects are kept in a folder or at s3://bucket/prefix")
    return FolderStore(Path(url))


@dataclass(frozen=True)
class FolderStore:
    """Objects as files below `root`. Writes go to a temporary name, are synced and renamed."""

    root: Path

    def get(self, key: str) -> bytes | None:
        """The file's bytes, or None."""
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Writes the file under a temporary name beside it, then renames it."""
        self._place(key, lambda file: file.write(data))

    def _place(self, key: str, write: Callable[[BinaryIO], object]) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f"{PARTIAL}{uuid.uuid4().hex}"
        try:
            with open(partial, "xb") as file:  # readable to whom the umask says: a gateway may run as another user than who publishes
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError):
                error.filename = error.filename or str(target)  # a write names no file, and a full disk is told by it
            raise

    def delete(self, key: str) -> None:
        """Removes the file, and folders that this leaves empty."""
        path = self.root / key
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or not _removed(folder):
                break

    def touch(self, key: str) -> None:
        """Sets the file's time to now."""
        try:
            os.utime(self.root / key)
        except FileNotFoundError:
            return

    def stored(self, prefix: str = "") -> Iterator[Stored]:
        """The files below `prefix`. What a killed writer left for a day is removed on the way."""
        for path in sorted((self.root / prefix).rglob("*")):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # another process removed it meanwhile
            if not path.is_file() or path.name == LOCK:
                continue
            if not path.name.startswith(PARTIAL):
                yield Stored(path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime)
            elif stat.st_mtime < time.time() - ABANDONED_S:
                path.unlink(missing_ok=True)

    def read(self, key: str, max_bytes: int | None = None) -> Versioned | None:
        """The file; its version is the digest of its bytes."""
        with told(self.root / key):
            try:
                with open(self.root / key, "rb") as file:
                    check_size(self.root / key, os.fstat(file.fileno()).st_size, max_bytes)
                    data = file.read()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Versioned(data, hashlib.sha256(data).hexdigest())

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """Compares and renames under a lock of the whole folder, which the kernel lets go of where its holder dies."""
        with told(self.root / key), self._locked():
            there = self.read(key)
            if (there.version if there else None) != version:
                raise Conflict(f"{self.root / key} was changed by another process")
            self._place(key, lambda file: file.write(data))
            _sync(self.root / key)
        return hashlib.sha256(data).hexdigest()

    def check_swaps(self) -> None:
        """A lock that is free, or becomes so."""
        with told(self.root), self._locked():
            return

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_WAIT_S
        with open(self.root / LOCK, "ab") as lock:
            while not _flocked(lock):
                if time.monotonic() > deadline:
                    raise StoreFailed(f"{self.root / LOCK} is held by another process for {LOCK_WAIT_S:.0f} s: see which with `fuser`")
                time.sleep(0.005)
            yield

    def upload(self, key: str, path: Path, sha256: str) -> None:
        """Copies the file."""
        with told(self.root / key), open(path, "rb") as source:
            self._place(key, lambda file: shutil.copyfileobj(source, file, 1 << 20))
            _sync(self.root / key)

    def download(self, key: str, path: Path, max_bytes: int) -> bool:
        """Copies the file."""
        with told(path):
            try:
                with open(self.root / key, "rb") as source, open(path, "wb") as target:
                    check_size(self.root / key, os.fstat(source.fileno()).st_size, max_bytes)
                    shutil.copyfileobj(source, target, 1 << 20)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def sha256(self, key: str) -> str | None:
        """The digest of the file's bytes, read in pieces."""
        with told(self.root / key):
            try:
                with open(self.root / key, "rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def clear_partial(self, prefix: str, before_s: float) -> None:
        """Removes temporary files."""
        for path in (self.root / prefix).rglob(f"{PARTIAL}*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before_s:
                    path.unlink()


def _flocked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(path: Path) -> None:
    """Makes the rename itself outlive a loss of power."""
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Raises DiskFull or StoreFailed for an OSError of the block."""
    try:
        yield
    except OSError as error:
        kind = DiskFull if is_no_room(error) else StoreFailed
        raise kind(f"{error.filename or path}: {error.strerror or error}. Look at the folder's owner, rights and free room") from None


def check_size(name: object, num_bytes: int, max_bytes: int | None) -> None:
    """Raises TooLarge past `max_bytes`."""
    if max_bytes is not None and num_bytes > max_bytes:
        raise TooLarge(f"{name} has {num_bytes:,} bytes; {max_bytes:,} are read at most")


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
