"""The first step of a retrain: which data the next run is made from, written to params.yaml and data/snapshot.json."""

import logging
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.contract import PARAMS, bind, path_of, read_params, write_json
from components.errors import BadData, BadParams
from components.expectations.history import remember
from components.ingest import snapshot as pinned
from components.ingest.config import IngestConfig
from components.ingest.market import MarketConfig
from components.ingest.snapshot import FolderDigest, SimulatedDigest, Snapshot
from components.releases import keep
from flows import committed
from flows.knobs import Knobs, turn
from flows.news import News, described, news_of
from flows.pin_tables import tables_of
from flows.pins import digest_of, events_of, now

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Taken:
    """A snapshot, whether data/snapshot.json had to change for it, and what is new in it."""

    snapshot: Snapshot
    changed: bool
    news: News


def use_simulated() -> Snapshot:
    """The snapshot of the simulated market, after params.yaml and data/snapshot.json name it as the source."""
    return _use(
        _simulated(read_params()), {("ingest", "source"): "simulate", ("ingest", "path"): None, ("evaluate", "external_vectors"): []}
    )


def use_folder(path: str, csv: str) -> Snapshot:
    """The snapshot of a folder of photos, after params.yaml and data/snapshot.json name it; `path` stays as typed.

    Raises BadData where the folder, its CSV or a column that must be there is missing; nothing is written then.
    """
    taken = _folder(path, csv, read_params())
    assert isinstance(taken.source, FolderDigest)
    knobs: Knobs = {("ingest", "source"): "folder", ("ingest", "path"): path, ("ingest", "csv"): csv}
    return _use(taken, {**knobs, ("evaluate", "external_vectors"): _vector_paths(taken.source)})


def use_events(path: str) -> Snapshot:
    """The snapshot of a folder or s3://bucket/prefix of events, after params.yaml and data/snapshot.json name it; `path` stays as typed.

    Raises BadData where it holds no events; nothing is written then.
    """
    taken = _events(path, read_params(), None)
    return _use(taken, {("ingest", "source"): "events", ("ingest", "path"): path, ("evaluate", "external_vectors"): []})


def use_tables(path: str) -> Snapshot:
    """The snapshot of a shop's own tables in a folder or s3://bucket/prefix, after params.yaml and data/snapshot.json name them; `path`
    stays as typed.

    Raises BadData where there is no table of listings whose columns ingest.columns maps; nothing is written then.
    """
    taken = _tables(path, read_params(), None)
    return _use(taken, {("ingest", "source"): "parquet", ("ingest", "path"): path, ("evaluate", "external_vectors"): []})


def take(as_of: str | None = None, stable: Path | None = None, commit: bool = False) -> Taken:
    """A new snapshot of the source that params name. data/snapshot.json is written where it changed; with `commit`, it is committed.

    What the last snapshot was like is remembered first. `stable` is the bundle that candidates are compared with from now on; without
    one the last snapshot's stays. Raises BadData, BadParams, BadBundle or BadWorkspace; data/snapshot.json is as it was then.
    """
    params = read_params()
    if commit:
        committed.check_params()
    before = _last(params)
    taken = _of_params(params, None if as_of is None else moment_of(as_of))
    taken = taken.model_copy(update={"stable_release": keep(stable) if stable else before and before.stable_release})
    paths = params.get("paths", {})
    if "profile" in paths and "history" in paths:
        remember(Path(paths["profile"]), Path(paths["history"]))
    changed = _write(taken, path_of("snapshot", params))
    if commit:
        history = [Path(paths["history"])] if "history" in paths else []
        committed.commit([path_of("snapshot", params), *history, PARAMS], f"Take a snapshot of {described(taken)}")
    return Taken(taken, changed, news_of(before, taken))


def moment_of(text: str) -> datetime:
    """The ISO date or time in UTC, which one without a zone is in already. Raises BadParams for anything else."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadParams(f"--as-of {text!r} is no time: write 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _of_params(params: Mapping[str, Any], as_of: datetime | None) -> Snapshot:
    cfg = bind(IngestConfig, "ingest", params)
    if cfg.source == "events":
        return _events(str(cfg.path), params, as_of)
    if cfg.source == "parquet":
        return _tables(str(cfg.path), params, as_of)
    if as_of:
        hint = "set market.as_of" if cfg.source == "simulate" else "it is of its newest created_at"
        raise BadParams(f"--as-of is for a source of events or of tables, which have a past; for {cfg.source} {hint}")
    if cfg.source == "simulate":
        return _simulated(params)
    taken = _folder(str(cfg.path), cfg.csv, params)
    assert isinstance(taken.source, FolderDigest)
    if (found := _vector_paths(taken.source)) != (named := params["evaluate"]["external_vectors"]):
        again = f"run `vitrine source folder {cfg.path} --csv {cfg.csv}`"
        raise BadData(f"external vectors: the folder has {found}, params.yaml names {named}: {again}")
    return taken


def _simulated(params: Mapping[str, Any]) -> Snapshot:
    market = bind(MarketConfig, "market", params)
    return Snapshot(source=SimulatedDigest(kind="simulate"), as_of=market.now, stable_release=None)


def _folder(path: str, csv: str, params: Mapping[str, Any]) -> Snapshot:
    source, newest_listing = digest_of(path, csv, _as_if("folder", path, params).columns, now())
    return Snapshot(source=source, as_of=newest_listing or bind(MarketConfig, "market", params).now, stable_release=None)


def _events(path: str, params: Mapping[str, Any], as_of: datetime | None) -> Snapshot:
    source, moment = events_of(path, bind(IngestConfig, "ingest", params), as_of, now())
    return Snapshot(source=source, as_of=moment, stable_release=None)


def _tables(path: str, params: Mapping[str, Any], as_of: datetime | None) -> Snapshot:
    without_times = bind(MarketConfig, "market", params).now
    source, moment = tables_of(path, _as_if("parquet", path, params), as_of, now(), without_times)
    return Snapshot(source=source, as_of=moment, stable_release=None)


def _as_if(source: str, path: str, params: Mapping[str, Any]) -> IngestConfig:
    """The section as it will be, so that a mapping which does not fit the source is told before anything is written."""
    return bind(IngestConfig, "ingest", {**params, "ingest": {**params["ingest"], "source": source, "path": path}})


def _vector_paths(source: FolderDigest) -> list[str]:
    return [posixpath.join(source.path, posixpath.dirname(source.csv), name) for name in source.external_vectors]


def _last(params: Mapping[str, Any]) -> Snapshot | None:
    path = path_of("snapshot", params)
    return pinned.read(path) if path.exists() else None


def _use(taken: Snapshot, knobs: Knobs) -> Snapshot:
    """Writes params.yaml first: a run between the two writes finds them apart and says so. The stable release stays."""
    params = read_params()
    path, before = path_of("snapshot", params), _last(params)
    taken = taken.model_copy(update={"stable_release": before and before.stable_release})
    turn(PARAMS, knobs)
    _write(taken, path)
    log.info("source: %s, as of %s. Wrote params.yaml and %s; nothing is committed", described(taken), taken.as_of.date(), path)
    return taken


def _write(taken: Snapshot, path: Path) -> bool:
    """True where the file had to change."""
    write_json(partial := path.with_name(f".{path.name}.partial"), taken.model_dump(mode="json"))
    if path.exists() and path.read_bytes() == partial.read_bytes():
        partial.unlink()
        return False
    partial.replace(path)
    return True
