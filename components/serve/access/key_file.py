"""The keys where they are kept: a file of mode 0600 that may change while the gateway runs, or the environment."""

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.errors import BadParams
from components.serve.access.keys import Key, KeyRow, KeyRows, read_rows, ring_of

VARIABLE = "VITRINE_API_KEYS"
OTHERS = stat.S_IRWXG | stat.S_IRWXO
MAX_FILE_BYTES = 4 * 2**20
CHECK_EVERY_S = 1.0

log = logging.getLogger("vitrine")


def read_file(path: Path) -> KeyRows:
    """The rows in the file; none where there is no file. Raises BadParams where others may read it, or it is broken."""
    try:
        with open(path, "rb") as file:
            about = os.fstat(file.fileno())
            if about.st_mode & OTHERS:
                raise BadParams(f"{path} can be read by others (mode {stat.S_IMODE(about.st_mode):04o}): run `chmod 600 {path}`")
            if about.st_size > MAX_FILE_BYTES:
                raise BadParams(f"{path} holds {about.st_size} bytes, more than {MAX_FILE_BYTES}: is this the file of keys?")
            return read_rows(file.read(), str(path))
    except FileNotFoundError:
        return KeyRows(keys=[])
    except OSError as error:
        raise BadParams(f"{path} cannot be read: {error.strerror}") from None


def add(path: Path, row: KeyRow) -> None:
    """Puts a key into the file."""
    with _rewritten(path) as keys:
        keys.append(row)


def revoke(path: Path, key_id: str) -> None:
    """Marks a key as revoked; it stays listed. Raises BadParams for one that is not there."""
    with _rewritten(path) as keys:
        places = [i for i, row in enumerate(keys) if row.id == key_id]
        if not places:
            raise BadParams(f"{path} has no key {key_id}: `vitrine key list` shows those that it has")
        keys[places[0]] = keys[places[0]].model_copy(update={"revoked": True})


@contextmanager
def _rewritten(path: Path) -> Iterator[list[KeyRow]]:
    """The file's rows, to be changed in place; written afterwards. One writer at a time, and a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f"{path.name}.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_file(path).keys)
        yield keys
        _write(path, KeyRows(keys=keys).model_dump_json(indent=2).encode() + b"\n")


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


Ring = Mapping[str, Key]


class Keys:
    """The keys that count now. `ring` is None in open mode: where there is neither a file nor the variable.

    The variable wins over the file. A file that breaks or goes away leaves the last good keys in force, so that a slip while editing
    neither locks everyone out nor lets everyone in; one that appears ends open mode.
    """

    def __init__(self, path: Path, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._fixed = VARIABLE in environ
        self._seen = None if self._fixed else _identity(path)
        self._next_check = clock() + CHECK_EVERY_S
        self.ring: Ring | None = None
        if self._fixed:
            self.ring = ring_of(read_rows(environ[VARIABLE].encode(), VARIABLE))
        elif self._seen:
            self.ring = ring_of(read_file(path))

    def current(self) -> Ring | None:
        """The keys by id, None in open mode; looks at the file at most once a second."""
        if not self._fixed and (now := self._clock()) >= self._next_check:
            self._next_check = now + CHECK_EVERY_S
            self._reload()
        return self.ring

    def _reload(self) -> None:
        seen = _identity(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        if seen is None:
            log.error("%s is gone: the keys that it held stay in force until the gateway is started again", self._path)
            return
        try:
            self.ring = ring_of(read_file(self._path))
            log.info("%s: %d keys", self._path, len(self.ring))
        except BadParams as error:
            log.error("%s; the keys read before stay in force", error)
            self.ring = {} if self.ring is None else self.ring  # whoever puts a file there means to close the gateway


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    """What changes with the file, its rights included, or None where there is none."""
    try:
        about = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError:
        return (0, 0, 0, 0)  # there, and out of reach: reading it will say why
    return about.st_ino, about.st_mtime_ns, about.st_size, about.st_ctime_ns
