"""A bundle of the tiny pool, with all that a reference is made of, and stores with simulated days."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.bundle import DRIFT_REFERENCE, GOLDEN, INDEX_FOLDER
from components.calibrator import ANCHORS
from components.contract import bind, read_params
from components.manifest import write_manifest
from components.neighbours import IndexConfig, build
from components.shards import write_table
from monitoring.config import MonitorConfig
from monitoring.rehearsal.pool import Pool
from monitoring.windows.config import WindowsConfig
from tests.conftest import PROJECT

NUM_HELD_OUT = 240


@cache
def monitor() -> MonitorConfig:
    """The section of params.yaml."""
    return bind(MonitorConfig, "monitor", read_params(PROJECT / "params.yaml"))


def windows(**changes: Any) -> WindowsConfig:
    """The windows of params.yaml with some knobs changed."""
    return WindowsConfig.model_validate(monitor().windows.model_dump() | changes)


def write_bundle(folder: Path, pool: Pool, fingerprint: str | None = None, **facts: Any) -> str:
    """The release's id, after its bundle lies in the folder: towers left out, which no window needs."""
    folder.mkdir(parents=True)
    fingerprint = fingerprint or pool.fingerprint
    write_table(folder / DRIFT_REFERENCE, *held_out(pool, fingerprint))
    known = pool.known
    anchors = pa.table(
        {"image_id": [f"a-{n}" for n in range(len(known.anchor_targets))], "data": [b""] * len(known.anchor_targets)}
        | {"target": known.anchor_targets.astype(np.float64)}
    )
    write_table(folder / ANCHORS, anchors, schema.ANCHORS)
    pq.write_table(pa.table({"image_id": [f"g-{n}" for n in range(len(known.golden_cosine))]}), folder / GOLDEN)
    cards = pool.cards.slice(0, pool.num_quiet)
    also = {name: cards[name] for name in ("image_id", "image_score")}
    index = IndexConfig(flat_below=100_000, num_cells=4, num_probes=4)
    build(folder / INDEX_FOLDER, cards["item_id"].to_pylist(), pool.vectors[: pool.num_quiet], fingerprint, index, also)
    return write_manifest(folder, {"fingerprint": fingerprint} | facts)


def held_out(pool: Pool, fingerprint: str) -> tuple[pa.Table, pa.Schema]:
    """Quiet cards as the table of held-out items."""
    rows = np.sort(np.random.default_rng(7).permutation(pool.num_quiet)[:NUM_HELD_OUT])
    cards, wanted = pool.cards.take(pa.array(rows)), schema.drift_reference(pool.vectors.shape[1])
    flat = pa.array(pool.vectors[rows].astype(np.float16).ravel())
    made = {
        "fingerprint": pa.repeat(fingerprint, len(rows)),
        "vector": pa.FixedSizeListArray.from_arrays(flat, pool.vectors.shape[1]),
        "contrast": pa.array(np.full(len(rows), 0.2, np.float32)),
    }
    return pa.table({name: made[name] if name in made else cards[name] for name in wanted.names}, schema=wanted), wanted
