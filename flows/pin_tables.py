"""A shop's own tables as they are now, pinned: every file of them, and every photo that their listings name."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from components.errors import BadData, BadParams
from components.ingest.config import IngestConfig
from components.ingest.files import NoTableError
from components.ingest.snapshot import FileDigest, TableDigest, TablesDigest
from components.ingest.tables.batches import opened
from components.ingest.tables.columns import Said, Wanted, columns_of, listing_columns
from components.ingest.tables.config import TablesConfig
from components.ingest.tables.depot import Depot
from components.ingest.tables.downloads import HERE
from components.objects import Stored
from flows.pins import check_moment

MIB = 2**20
TIMES = ("created_at", "updated_at", "ts")

log = logging.getLogger("vitrine")


def tables_of(
    path: str, cfg: IngestConfig, as_of: datetime | None, clock: datetime, timeless: datetime, downloads: Path = HERE
) -> tuple[TablesDigest, datetime]:
    """The tables as they are, and the moment asked for, or that of the newest row until the clock; `timeless` where no row has a time.

    Raises BadData where a table is not there, cannot be read or is beyond a limit; BadParams for a moment that cannot be asked for.
    """
    check_moment(as_of, clock)
    depot = Depot.of(path, downloads)
    there = _there(path, depot, cfg.tables)
    placed = {table: _placed(table, there, path, cfg.tables) for table in cfg.tables.places}
    tables = {table: TableDigest(at=cfg.tables.places[table], files=depot.pin(files)) for table, files in placed.items()}
    look = _Look(depot, clock, there)
    for table, digest in tables.items():
        look.through(table, digest.files, _to_look_at(table, cfg))
    if as_of and look.newest is None:
        raise BadParams("--as-of needs times: no row has a created_at, an updated_at or a ts that can be read")
    newest = look.newest or timeless
    pictures = depot.pin_photos(there[key] for key in sorted(look.named))
    return TablesDigest(kind="parquet", path=path, written=newest.date(), tables=tables, pictures=pictures), as_of or newest


def _there(path: str, depot: Depot, tables: TablesConfig) -> dict[str, Stored]:
    """Every object of the source by its key."""
    if depot.root and not depot.root.is_dir():
        raise BadData(f"the source folder {path} {'is a file: name its folder' if depot.root.is_file() else 'does not exist'}")
    there: dict[str, Stored] = {}
    for one in depot.store.stored():
        if not one.key.endswith("/"):  # as some tools write for a folder
            there[one.key] = one
        if len(there) > tables.max_objects:
            raise BadData(f"{path} holds more than {tables.max_objects:,} objects (ingest.tables.max_objects): {_FEWER}")
    return there


_FEWER = "name a narrower path, or keep photos in a column of the table (ingest.tables.listings.picture), which takes no object each"


def _placed(table: str, there: Mapping[str, Stored], path: str, tables: TablesConfig) -> list[Stored]:
    """The table's files. What is no parquet file by its name, or hidden as writers hide what is not finished, is none."""
    at = tables.places[table]
    within = [place for place in tables.places.values() if place != at and _lies(place, at)]  # of other tables
    own = [key for key in there if _lies(key, at) and not any(_lies(key, place) for place in within)]
    found = [key for key in own if key.lower().endswith(".parquet") and not any(part.startswith(("_", ".")) for part in key.split("/"))]
    if odd := sorted(key for key in own if ".parquet" in key.lower() and key not in set(found)):
        log.warning("%s: %d files are left out as hidden or of another kind, first %s", table, len(odd), odd[0])
    if not found:
        raise BadData(_no_files(table, at, there, path))
    for key in found:
        if there[key].num_bytes > tables.max_file_mib * MIB:
            raise BadData(f"{key} in {path} has {there[key].num_bytes:,} bytes; ingest.tables.max_file_mib is {tables.max_file_mib}")
        if key.count("/") > tables.max_depth:
            raise BadData(f"{key} in {path} lies {key.count('/')} folders deep; ingest.tables.max_depth is {tables.max_depth}")
    return [there[key] for key in found]


def _lies(key: str, at: str) -> bool:
    return at == "." or key == at or key.startswith(f"{at}/")


def _no_files(table: str, at: str, there: Mapping[str, Stored], path: str) -> str:
    places = sorted({key.rpartition("/")[0] or "." for key in there if key.lower().endswith(".parquet")})
    seen = f"there are some at {', '.join(places[:5])}" if places else "nor elsewhere"
    return f"{path} holds no parquet files at {at}, {seen}: set ingest.tables.{table}.at in params.yaml to where they are"


def _to_look_at(table: str, cfg: IngestConfig) -> list[Wanted]:
    return listing_columns(cfg.columns, cfg.tables) if table == "listings" else columns_of(table, cfg.tables)


@dataclass
class _Look:
    """What there is to know of the tables before they are taken: the newest time until the clock, and the photos that listings name."""

    depot: Depot
    clock: datetime
    there: Mapping[str, Stored]
    newest: datetime | None = None
    named: set[str] = field(default_factory=set)

    def through(self, table: str, files: Mapping[str, FileDigest], wanted: list[Wanted]) -> None:
        """Reads the table's times and keys. A file that is no such table is told of; raises BadData where all are such."""
        faults = [fault for key, digest in sorted(files.items()) if (fault := self._file(key, digest, wanted))]
        if len(faults) == len(files):
            raise BadData(f"no file of {table} can be read as a table. First: {faults[0]}")
        for fault in faults:
            log.warning("%s, and will be set aside", fault)

    def _file(self, key: str, digest: FileDigest, wanted: list[Wanted]) -> str | None:
        """What keeps the file from being a table."""
        path = self.depot.path(key, digest)
        try:
            with opened(path, wanted, sound=True) as file:
                for _, said in file.only((*TIMES, "image")).batches():
                    self._note(said)
        except NoTableError as fault:
            return f"{key}: {fault.rejection.detail} ({fault.rejection.reason})"
        return None

    def _note(self, said: Said) -> None:
        for name in said.keys() & TIMES:
            times = said[name][0] if name != "ts" else said[name][0].to_pylist()
            past = (time for time in times if isinstance(time, datetime) and time <= self.clock)
            newest = max(past, default=None)
            self.newest = max(self.newest or newest, newest).astimezone(UTC) if newest else self.newest
        for keys in said.get("image", []):
            self.named.update(key for key in keys if key in self.there)
