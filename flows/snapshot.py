"""The first step of a retrain: which data the next run is made from, written to params.yaml and data/snapshot.json. Commits nothing."""

import logging
import posixpath
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import PARAMS, bind, path_of, read_params, write_json
from components.ingest.admit import newest
from components.ingest.component import IngestConfig
from components.ingest.folder import Columns, Folder
from components.ingest.market import MarketConfig
from components.ingest.rows import RawListing
from components.ingest.snapshot import FolderDigest, SimulatedDigest, Snapshot, file_sha256
from flows.knobs import Knobs, turn

VECTOR_COLUMNS = ["item_id", "vector"]

log = logging.getLogger("vitrine")


def use_simulated() -> Snapshot:
    """The snapshot of the simulated market, after params.yaml and data/snapshot.json name it as the source."""
    market = bind(MarketConfig, "market", read_params())
    taken = Snapshot(source=SimulatedDigest(kind="simulate"), as_of=market.now, stable_release=None)
    _keep(taken, {("ingest", "source"): "simulate", ("ingest", "path"): None, ("evaluate", "external_vectors"): []})
    return taken


def use_folder(path: str, csv: str) -> Snapshot:
    """The snapshot of a folder of photos, after params.yaml and data/snapshot.json name it; `path` stays as typed.

    Raises BadData where the folder, its CSV or a column that must be there is missing; nothing is written then.
    """
    params = read_params()
    columns, market = bind(IngestConfig, "ingest", params).columns, bind(MarketConfig, "market", params)
    source, newest_listing = digest_of(path, csv, columns)
    taken = Snapshot(source=source, as_of=newest_listing or market.now, stable_release=None)
    vectors = [posixpath.join(path, posixpath.dirname(csv), name) for name in source.external_vectors]
    knobs = {("ingest", "source"): "folder", ("ingest", "path"): path, ("ingest", "csv"): csv, ("evaluate", "external_vectors"): vectors}
    _keep(taken, knobs)
    return taken


def digest_of(path: str, csv: str, columns: Columns) -> tuple[FolderDigest, datetime | None]:
    """The folder as it is now, and its newest created_at (None where the CSV gives none); reads every picture the CSV names."""
    folder = Folder(Path(path), csv, columns)
    time = newest(_noted(folder))
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


def _keep(taken: Snapshot, knobs: Knobs) -> None:
    """Writes params.yaml first: a run between the two writes finds them apart and says so."""
    path = path_of("snapshot", read_params())
    turn(PARAMS, knobs)
    write_json(partial := path.with_name(f".{path.name}.partial"), taken.model_dump(mode="json"))
    if path.exists() and path.read_bytes() == partial.read_bytes():
        partial.unlink()
    else:
        partial.replace(path)
    log.info("source: %s, as of %s. Wrote params.yaml and %s; nothing is committed", _described(taken), taken.as_of.date(), path)


def _described(taken: Snapshot) -> str:
    source = taken.source
    if isinstance(source, SimulatedDigest):
        return "the simulated market"
    return f"{source.path} ({source.pictures.count:,} pictures, {source.pictures.bytes / 1e6:,.1f} MB)"
