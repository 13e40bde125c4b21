"""The gateway's files as they come into its store: each read once, named by its digest, and set aside where it is no table of its kind."""

import datetime as dt
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from components.errors import BadData
from components.objects import ObjectStore, Stored
from components.release.logged import FOLDERS, table_of

LAYOUT = re.compile(r"(answers|events/impressions|events/clicks)/dt=(\d{4}-\d{2}-\d{2})/[^/]+\.parquet")
AHEAD = dt.timedelta(days=1)  # a row's own clock may stand after midnight when its file's does not, and so may the controller's
AT_ONCE = 32  # files in memory

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Input:
    """A file that was read: its key and the digest of its bytes. `set_aside` says why none of its rows counts, None where they do."""

    key: str
    sha256: str
    set_aside: str | None = None

    @property
    def table(self) -> str:
        """Which of the tables it is of."""
        return table_named(self.key)


def chained(digest: str, inputs: Iterable[Input]) -> str:
    """The running digest of all inputs so far: sha256 over the one before, the key and the digest of each that came."""
    for one in inputs:
        digest = hashlib.sha256(f"{digest} {one.sha256} {one.key}\n".encode()).hexdigest()
    return digest


def table_named(key: str) -> str:
    """The table whose folder holds the key. Raises BadData where none does."""
    found = LAYOUT.fullmatch(key)
    if found is None:
        raise BadData(f"{key} lies in no folder that is counted: {', '.join(folder for folder, _, _ in FOLDERS.values())}")
    return next(name for name, (folder, _, _) in FOLDERS.items() if folder == found[1])


@dataclass
class LogFiles:
    """`inputs` are the files read so far, in the order of reading. A file that changed after it was counted stays as it was counted, and is
    named in `altered`; one that was set aside is read again when it changes."""

    store: ObjectStore
    readers: int
    inputs: dict[str, Input] = field(default_factory=dict)
    altered: set[str] = field(default_factory=set)
    _seen: dict[str, Stored] = field(default_factory=dict)

    def new(self, since: dt.datetime, until: dt.datetime) -> Iterator[tuple[str, list[pa.Table]]]:
        """What came of each table since the last time, some files together, of the days around since to until. Raises StoreFailed; what was
        not read then is read the next time."""
        for name in FOLDERS:
            fresh = [one for one in self._listed(name, since, until) if self._seen.get(one.key) != one]
            for start in range(0, len(fresh), AT_ONCE):
                if tables := self._read(name, fresh[start : start + AT_ONCE]):
                    yield name, tables

    def _listed(self, name: str, since: dt.datetime, until: dt.datetime) -> list[Stored]:
        """The files by day: a shop's log goes back for months, and to list it all at every look would take longer than to count."""
        first, last = ((at.astimezone(dt.UTC) + aside).date() for at, aside in ((since, -AHEAD), (until, AHEAD)))
        days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
        with ThreadPoolExecutor(self.readers) as pool:
            listed = pool.map(lambda day: list(self.store.stored(f"{FOLDERS[name][0]}/dt={day.isoformat()}")), days)
            return [one for some in listed for one in some if LAYOUT.fullmatch(one.key)]

    def _read(self, name: str, fresh: Sequence[Stored]) -> list[pa.Table]:
        tables = []
        fetched = self._fetched([one.key for one in fresh])  # all of them or, where the store fails, none: each counts once
        for one, data in zip(fresh, fetched, strict=True):
            if data is None:
                continue  # it went away between the listing and now
            if (table := self.opened(one.key, name, data)) is not None:
                tables.append(table)
            self._seen[one.key] = one
        return tables

    def _fetched(self, keys: Sequence[str]) -> list[bytes | None]:
        with ThreadPoolExecutor(self.readers) as pool:
            return [found.data if found else None for found in pool.map(self.store.read, keys)]

    def opened(self, key: str, name: str, data: bytes) -> pa.Table | None:
        """The file's rows, where it is new; None where these bytes are known, other bytes were counted, or it is set aside."""
        digest, known = hashlib.sha256(data).hexdigest(), self.inputs.get(key)
        if known is not None and known.sha256 == digest:
            return None
        if known is not None and known.set_aside is None:
            if key not in self.altered:
                log.warning("%s is not the file any more that was counted; what was counted stays", key)
            self.altered.add(key)
            return None
        self.inputs.pop(key, None)
        try:
            table = table_of(data, name)
        except BadData as error:
            self.inputs[key] = Input(key, digest, str(error))
            log.warning("%s is set aside, nothing in it counts: %s", key, error)
            return None
        self.inputs[key] = Input(key, digest)
        return table

    @property
    def set_aside(self) -> Mapping[str, str]:
        """Why files count for nothing, by their key."""
        return {one.key: one.set_aside for one in self.inputs.values() if one.set_aside is not None}
