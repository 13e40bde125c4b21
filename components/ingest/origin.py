"""The source that a snapshot pins, opened; params must name the same one."""

from collections.abc import Mapping
from pathlib import Path

from components.errors import BadData
from components.ingest import snapshot as pinned
from components.ingest.config import IngestConfig
from components.ingest.events import EventsSource
from components.ingest.files import EventFiles
from components.ingest.folder import Folder
from components.ingest.market import MarketConfig
from components.ingest.snapshot import EventsDigest, FolderDigest, Snapshot, TablesDigest
from components.ingest.source import FolderSource, SimulatedSource, Source
from components.ingest.tables.depot import Depot
from components.ingest.tables.downloads import HERE
from components.ingest.tables.source import TablesSource
from components.objects import open_store


def source_of(taken: Snapshot, cfg: IngestConfig, market: MarketConfig, scratch: Path, downloads: Path = HERE) -> Source:
    """The source that the snapshot names; what is fetched for it lies in `downloads`. Raises BadData where params name another, or ask for
    more than was pinned."""
    if (found := _say_pinned(taken)) != (wanted := _say_wanted(cfg)):
        raise BadData(f"the snapshot is of {found}, params.yaml names {wanted}: {pinned.AGAIN}")
    if isinstance(taken.source, FolderDigest):
        return FolderSource(Folder(Path(taken.source.path), taken.source.csv, cfg.columns), taken.source)
    if isinstance(taken.source, TablesDigest):
        depot = Depot.of(taken.source.path, downloads)
        return TablesSource(depot, taken.source, cfg.columns, cfg.tables, cfg.window(taken.as_of), scratch, cfg.num_shards)
    if isinstance(taken.source, EventsDigest):
        return _events(taken, taken.source, cfg, scratch)
    if market.now != taken.as_of:
        raise BadData(f"market.as_of is {market.as_of}, the snapshot has {taken.as_of.isoformat()}: run `vitrine source simulate`")
    return SimulatedSource(market, scratch)


def _events(taken: Snapshot, digest: EventsDigest, cfg: IngestConfig, scratch: Path) -> EventsSource:
    window = cfg.window(taken.as_of)
    if digest.since and (window.since is None or window.since < digest.since):
        raise BadData(
            f"the snapshot pins impressions from {digest.since} on, ingest.retention_days = {cfg.retention_days} asks for earlier ones: "
            "run `vitrine snapshot`, which pins them"
        )
    return EventsSource(EventFiles(open_store(digest.path), digest.path, digest.files), window, scratch, cfg.num_shards)


def _say_pinned(taken: Snapshot) -> str:
    if isinstance(taken.source, FolderDigest):
        return _say("folder", taken.source.path, taken.source.csv)
    if isinstance(taken.source, TablesDigest):
        return _say("parquet", taken.source.path, tables={name: table.at for name, table in taken.source.tables.items()})
    return _say("events", taken.source.path) if isinstance(taken.source, EventsDigest) else _say("simulate", None)


def _say_wanted(cfg: IngestConfig) -> str:
    return _say(cfg.source, cfg.path, cfg.csv, cfg.tables.places)


def _say(kind: str, path: str | None, csv: str = "", tables: Mapping[str, str] | None = None) -> str:
    places = ", ".join(f"{name} at {at}" for name, at in sorted((tables or {}).items()))
    said = {"simulate": "the simulated market", "events": f"the events in {path}", "parquet": f"the tables in {path} ({places})"}
    return said.get(kind, f"the folder {path} with {csv}")
