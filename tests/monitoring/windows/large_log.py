"""A release with many held-out items and a day of as many rows, written as they lie in production: for benches."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.bundle import DRIFT_REFERENCE, GOLDEN, INDEX_FOLDER
from components.calibrator import ANCHORS
from components.manifest import write_manifest
from components.neighbours import ITEMS
from monitoring.span import Span, day_of

SEED, FINGERPRINT = 11, "0123456789abcdef"
DAY: Span = day_of(dt.date(2026, 3, 2))
CATEGORIES = ("Bags", "Books", "Dresses", "Games", "Mugs", "Shoes", "Tools", "Toys")
NUM_CENTRES, FILE_ROWS, ROWS_A_SELLER, ROWS_AN_ITEM = 64, 20_000, 20, 4


def write(folder: Path, num_rows: int, dim: int, shift_share: float) -> None:
    """A bundle and a store. `shift_share` of the day's rows are of a kind that the held-out items have not."""
    release_id = _write_bundle(folder / "bundle", num_rows, dim)
    _write_listings(folder / "store", num_rows)
    _write_predictions(folder / "store", num_rows, dim, shift_share, release_id)


def _write_bundle(bundle: Path, num_rows: int, dim: int) -> str:
    (bundle / INDEX_FOLDER).mkdir(parents=True)
    rng, wanted = np.random.default_rng(1), schema.drift_reference(dim)
    with pq.ParquetWriter(bundle / DRIFT_REFERENCE, wanted, compression="zstd") as writer:
        for first, num in _chunks(num_rows):
            kind, flat = _vectors(rng, num, dim, 0.0)
            made = _photos(rng, num) | {
                "item_id": pa.array([f"h-{number:08d}" for number in range(first, first + num)]),
                "vector": pa.FixedSizeListArray.from_arrays(flat, dim),
                "category": _paths(kind),
                "seller_id": _sellers(rng.integers(num_rows // ROWS_A_SELLER, size=num)),
                "title_language": pa.repeat("ja", num),
                "price": pa.array(np.full(num, 900.0)),
                "contrast": pa.array(np.full(num, 0.2, np.float32)),
            }
            writer.write_table(pa.table([made[name] for name in wanted.names], schema=wanted))
    pq.write_table(pa.table({"image_id": ["a"], "data": [b""], "target": [0.5]}, schema=schema.ANCHORS), bundle / ANCHORS)
    pq.write_table(pa.table({"image_id": ["g"]}), bundle / GOLDEN)
    pq.write_table(pa.table({"item_id": ["h"], "image_score": pa.array([0.5], pa.float32())}), bundle / INDEX_FOLDER / ITEMS)
    return write_manifest(bundle, {"fingerprint": FINGERPRINT})


def _write_listings(store: Path, num_rows: int) -> None:
    wanted, before = schema.EVENTS["listings"], DAY.start - dt.timedelta(days=60)
    for first, num in _chunks(num_rows // ROWS_AN_ITEM):
        item = np.arange(first, first + num)
        made = {
            "item_id": _items(item),
            "seller_id": _sellers(item % (num_rows // ROWS_A_SELLER)),
            "title": pa.repeat("椅子", num),
            "category": _paths(item % len(CATEGORIES)),
            "price": pa.array(np.full(num, 900.0)),
            "status": pa.repeat("on_sale", num),
            "image_id": pa.repeat("p", num),
            **{name: pa.array([before] * num, schema.UTC_TIME) for name in ("created_at", "updated_at")},
        }
        columns = [made.get(field.name, pa.nulls(num, field.type)) for field in wanted]
        _write(store / f"events/listings/dt=2026-03-01/part-{first:08d}.parquet", pa.table(columns, schema=wanted))


def _write_predictions(store: Path, num_rows: int, dim: int, shift_share: float, release_id: str) -> None:
    rng, wanted, num_items = np.random.default_rng(2), schema.PREDICTIONS, num_rows // ROWS_AN_ITEM
    start_us, step_us = round(DAY.start.timestamp() * 1e6), 86_400_000_000 // num_rows
    for first, num in _chunks(num_rows):
        kind, flat = _vectors(rng, num, dim, shift_share)
        item = rng.integers(num_items // len(CATEGORIES), size=num) * len(CATEGORIES) + kind % len(CATEGORIES)
        made = _photos(rng, num) | {
            "ts": pa.array(start_us + (first + np.arange(num)) * step_us, schema.UTC_TIME),
            "request_id": pa.array([f"r-{number:08d}" for number in range(first, first + num)]),
            "route": pa.repeat("similar", num),
            "release_id": pa.repeat(release_id, num),
            "item_id": _items(item),
            "vector": pa.ListArray.from_arrays(pa.array(np.arange(num + 1, dtype=np.int32) * dim), flat),
            "platform": pa.array(rng.choice(["web", "ios", "android"], num)),
            "latency_ms": pa.array(np.full(num, 5.0, np.float32)),
        }
        table = pa.table([made[name] for name in wanted.names], schema=wanted)
        _write(store / f"predictions/dt=2026-03-02/part-{first:08d}.parquet", table)


def _chunks(num_rows: int) -> Iterator[tuple[int, int]]:
    return ((first, min(FILE_ROWS, num_rows - first)) for first in range(0, num_rows, FILE_ROWS))


def _vectors(rng: np.random.Generator, num: int, dim: int, shift_share: float) -> tuple[np.ndarray, pa.Array]:
    """(N,) kinds, and N x D values of unit vectors."""
    centre = np.random.default_rng(SEED).normal(0, 1, (NUM_CENTRES + 1, dim))
    kind = np.where(rng.random(num) < shift_share, NUM_CENTRES, rng.integers(NUM_CENTRES, size=num))
    z = centre[kind] + rng.normal(0, 1, (num, dim))
    return kind, pa.array((z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float16).ravel())


def _photos(rng: np.random.Generator, num: int) -> dict[str, pa.Array]:
    """What is known of a photo."""
    shares = {name: pa.array(rng.beta(2, 2, num).astype(np.float32)) for name in ("image_score", "brightness", "sharpness", "text_share")}
    sides = {name: pa.array(np.full(num, 640, np.int32)) for name in ("width", "height")}
    versions = pa.array(rng.choice([f"3.{number}.0" for number in range(8)], num))
    return shares | sides | {"image_id": pa.repeat("p", num), "fingerprint": pa.repeat(FINGERPRINT, num), "app_version": versions}


def _items(number: np.ndarray) -> pa.Array:
    return pa.array([f"m-{one:08d}" for one in number.tolist()])


def _sellers(number: np.ndarray) -> pa.Array:
    return pa.array([f"s-{one:06d}" for one in number.tolist()])


def _paths(kind: np.ndarray) -> pa.Array:
    names = pa.array(CATEGORIES).take(pa.array(kind % len(CATEGORIES)))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(kind) + 1, dtype=np.int32)), names)


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
