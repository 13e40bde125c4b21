"""A base on disk, with the item of each slot and the seq that it holds: written under another name, synced, sealed and renamed.

It saves time at the next start, no more: whatever it holds is in the journal too.
"""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import faiss
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import BadBundle
from components.manifest import verified_manifest, write_manifest
from components.neighbours import INDEX, ITEMS
from components.serve.index.embedded.base import Base

SNAPSHOT, PARTIAL = "snapshot-", ".partial-"

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Snapshot:
    """A base, the item of each of its slots, and the last change that it holds."""

    base: Base
    item_ids: list[str]
    seq: int


def write(folder: Path, snapshot: Snapshot) -> None:
    """Puts the snapshot in the place of older ones; a reader finds it whole or not at all. Raises OSError or RuntimeError (disk full)."""
    name = f"{SNAPSHOT}{snapshot.seq:016d}"
    partial = folder / f"{PARTIAL}{name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    faiss.write_index(snapshot.base.index, str(partial / INDEX))
    pq.write_table(pa.table({"item_id": pa.array(snapshot.item_ids, pa.string())}), partial / ITEMS, compression="zstd")
    base = snapshot.base
    write_manifest(partial, {"seq": snapshot.seq, "num_probes": base.num_probes, "trained_on": base.trained_on, "added": base.added})
    for path in (*partial.iterdir(), partial):
        sync(path)
    if (folder / name).exists():
        _remove(folder / name)
    os.rename(partial, folder / name)
    sync(folder)
    for other in _all(folder):
        if other.name != name:
            _remove(other)


def read(folder: Path, num_probes: int) -> Snapshot | None:
    """The newest sound snapshot. Those that are damaged are told of and removed, as is what a killed writer left."""
    for partial in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
    for path in _all(folder):
        try:
            return _read(path, num_probes)
        except (BadBundle, RuntimeError, OSError, ValueError, KeyError) as error:
            log.warning("index: %s is damaged and is built again from %s: %s", path, folder, error)
            _remove(path)
    return None


def _read(path: Path, num_probes: int) -> Snapshot:
    facts = verified_manifest(path)
    base = Base.over(faiss.read_index(str(path / INDEX)), num_probes, facts["trained_on"], facts["added"])
    item_ids = pq.read_table(path / ITEMS)["item_id"].to_pylist()
    if len(item_ids) != base.count:
        raise ValueError(f"{base.count} vectors of {len(item_ids)} items")
    return Snapshot(base, item_ids, facts["seq"])


def remove_all(folder: Path) -> None:
    """Has the next start build from the journal alone."""
    for path in _all(folder):
        _remove(path)


def _remove(path: Path) -> None:
    """Takes the snapshot away whole, so that a kill leaves no half of it under its name."""
    away = path.with_name(f"{PARTIAL}old-{path.name}")
    shutil.rmtree(away, ignore_errors=True)
    os.rename(path, away)
    shutil.rmtree(away, ignore_errors=True)


def _all(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob(f"{SNAPSHOT}*"), reverse=True)


def sync(path: Path) -> None:
    """Has the file's bytes, or the folder's names, on the disk when it returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
