"""A source as it is now, pinned: the digests of what a run will be made from, and the moment that counts as its now."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import parquet_bytes
from components.errors import BadData, BadParams
from components.ingest.admit import newest
from components.ingest.config import IngestConfig
from components.ingest.files import EventFile, event_file
from components.ingest.folder import Columns, Folder
from components.ingest.rows import RawListing
from components.ingest.snapshot import EventsDigest, FileDigest, FolderDigest, file_sha256
from components.ingest.window import latest_of
from components.objects import ObjectStore, open_store
from components.progress import track

VECTOR_COLUMNS = ["item_id", "vector"]
TIMES = {"listings": "updated_at", "impressions": "ts", "clicks": "ts"}
LOGGED = ("impressions", "clicks")

log = logging.getLogger("vitrine")


def now() -> datetime:
    """The clock, in UTC."""
    return datetime.now(UTC)


def digest_of(path: str, csv: str, columns: Columns, clock: datetime) -> tuple[FolderDigest, datetime | None]:
    """The folder as it is, and its newest created_at until the clock (None where the CSV gives none); reads every picture it names."""
    folder = Folder(Path(path), csv, columns)
    time = newest(_noted(folder), clock)
    digest = FolderDigest(
        kind="folder",
        path=path,
        csv=csv,
        csv_sha256=file_sha256(folder.path / csv),
        pictures=folder.seen.digest(),
        external_vectors={file.name: file_sha256(file) for file in external_vectors((folder.path / csv).parent)},
    )
    return digest, time


def _noted(folder: Folder) -> Iterator[RawListing]:
    for raw in folder.rows():
        if raw.picture_name:
            folder.note(raw.picture_name)
        yield raw


def external_vectors(folder: Path) -> list[Path]:
    """The parquet files in `folder` that hold exactly item_id and vector, sorted by name."""
    return [path for path in sorted(folder.glob("*.parquet")) if _columns_of(path) == VECTOR_COLUMNS]


def _columns_of(path: Path) -> list[str]:
    try:
        return sorted(pq.read_schema(path).names)
    except (OSError, pa.ArrowInvalid) as error:
        log.warning("%s is left out of the external vectors: %s", path.name, error)
        return []


def events_of(path: str, cfg: IngestConfig, as_of: datetime | None, clock: datetime) -> tuple[EventsDigest, datetime]:
    """The events as they are, and the moment asked for or else that of the newest row until the clock.

    Files of impressions and clicks that are older than the window can matter to are not pinned. Raises BadData where there is no row
    to be had, BadParams for a moment that has not come.
    """
    check_moment(as_of, clock)
    desk = _Desk(open_store(path))
    files = _laid_out(path, desk.store)
    moment = as_of or _newest_row(files, desk, clock)
    if moment is None:
        raise BadData(f"no row of the events in {path} can be read that is of before now, {clock.isoformat(timespec='seconds')}")
    since = cfg.window(moment).since
    wanted = [file for file in files if file.table not in LOGGED or since is None or file.day >= since]
    digests = {file.name: desk.digest(file.name) for file in track(wanted, len(wanted), "files read")}
    return EventsDigest(kind="events", path=path, since=since, files=digests), moment


def check_moment(as_of: datetime | None, clock: datetime) -> None:
    """Raises BadParams for a moment that has not come."""
    if as_of and as_of > clock:
        raise BadParams(f"--as-of {as_of.isoformat()} has not come yet: it is {clock.isoformat(timespec='seconds')}")


@dataclass
class _Desk:
    """Files as they are read, each digest noted."""

    store: ObjectStore
    digests: dict[str, FileDigest] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        data = self.store.get(name)
        if data is None:
            raise BadData(f"{name} went away while the snapshot was taken: take it again")
        self.digests[name] = FileDigest(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        return data

    def digest(self, name: str) -> FileDigest:
        if name not in self.digests:
            self.read(name)
        return self.digests[name]


def _laid_out(path: str, store: ObjectStore) -> list[EventFile]:
    """The source's files of events, by name. Other parquet files are told of."""
    if "://" not in path and not Path(path).is_dir():
        raise BadData(f"the source folder {path} does not exist")
    names = [one.key for one in store.stored()]
    files = [file for name in names if (file := event_file(name))]
    if odd := [name for name in names if name.endswith(".parquet") and not event_file(name)]:
        log.warning("%d parquet files are left out, first %s: %s", len(odd), odd[0], _LAYOUT)
    if not files:
        raise BadData(f"{path} holds no events: {_LAYOUT}")
    return files


_LAYOUT = "events lie at listings/, images/, impressions/ or clicks/, each with dt=YYYY-MM-DD/NAME.parquet"


def _newest_row(files: list[EventFile], desk: _Desk, clock: datetime) -> datetime | None:
    """The newest time of any row until the clock; days are read from the last one back, until none before can hold a later row."""
    best: datetime | None = None
    for day in sorted({file.day for file in files if file.table in TIMES}, reverse=True):
        if best and best >= latest_of(day):
            return best
        for file in files:
            if file.day == day and file.table in TIMES and (time := _newest_in(file, desk, min(clock, latest_of(day)))):
                best = max(best or time, time)
    return best


def _newest_in(file: EventFile, desk: _Desk, limit: datetime) -> datetime | None:
    try:
        times = parquet_bytes.table_of(desk.read(file.name), [TIMES[file.table]])[TIMES[file.table]]
        times = times.cast(pa.timestamp("us", tz="UTC"))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        log.warning("%s cannot be read and will be set aside: %s", file.name, " ".join(str(error).split())[:200])
        return None
    time = pc.max(times.filter(pc.less_equal(times, pa.scalar(limit, times.type)))).as_py()
    return time.astimezone(UTC) if time else None
