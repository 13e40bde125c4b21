"""A small shop with a release, its reference, and a few days in a store, made once; each test has a copy to spoil."""

import dataclasses
import datetime as dt
import io
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.objects import FolderStore, ObjectStore
from components.schema import PREDICTIONS
from monitoring.reading import Read, read_window
from monitoring.reference import Reference, reference_of
from monitoring.rehearsal.config import QuietConfig
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.stream import Day, Stream
from monitoring.rehearsal.writing import write_days
from monitoring.span import Span, day_of
from monitoring.window import Window
from monitoring.windows.config import WindowsConfig
from tests.monitoring.tiny_pool import quiet, tiny_pool
from tests.monitoring.windows.tiny_bundle import monitor, windows, write_bundle

SEED = 5
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = day_of(dt.date(2026, 1, 3))
ROWS_A_DAY = 1500
PREDICTIONS_OF_DAY = "predictions/dt=2026-01-03"


@cache
def _scratch() -> "tempfile.TemporaryDirectory[str]":
    """A folder that goes with the process."""
    return tempfile.TemporaryDirectory(prefix="tiny-bundle-")


@cache
def release() -> tuple[Pool, Reference]:
    """The pool as the release knows it, and the release's reference."""
    folder, pool = Path(_scratch().name) / "bundle", tiny_pool()
    release_id = write_bundle(folder, pool)
    reference = reference_of(folder, monitor(), SEED, since=START)
    return dataclasses.replace(pool, release_id=release_id, quality_edges=reference.quality_edges), reference


def stream(seed: int = 1, **changes: float) -> Stream:
    """Days of that shop."""
    return Stream(release()[0], seed, shop(**changes))


def shop(**changes: float) -> QuietConfig:
    """A shop of fewer rows than params.yaml has, and more in the night than it would have of them."""
    return quiet(**({"rows_a_day": ROWS_A_DAY, "pages_a_day": 100} | changes))


@cache
def written(num_days: int = 3) -> Mapping[str, bytes]:
    """What a store holds of the first days, by key."""
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        write_days(store, stream(), range(num_days))
        return {one.key: store.get(one.key) or b"" for one in store.stored()}


def filled(store: ObjectStore, files: Mapping[str, bytes] | None = None) -> ObjectStore:
    """The store with those files in it, the first three days unless given."""
    for key, data in (written() if files is None else files).items():
        store.put(key, data)
    return store


def read(store: ObjectStore, span: Span = DAY, cfg: WindowsConfig | None = None, reference: Reference | None = None) -> Read:
    """The window of the span."""
    return read_window(store, span, reference or release()[1], cfg or windows(), SEED)


def simulated(number: int = 2) -> Day:
    """The simulated day itself."""
    return stream().day(number)


def table(data: bytes) -> pa.Table:
    """The rows of a file."""
    return pq.read_table(io.BytesIO(data))


def parquet(rows: pa.Table, **options: object) -> bytes:
    """A file of these rows."""
    pq.write_table(rows, sink := io.BytesIO(), **options)
    return sink.getvalue()


@cache
def day_rows() -> pa.Table:
    """The day's rows of the prediction log."""
    return pa.concat_tables(table(data) for key, data in sorted(written().items()) if key.startswith(PREDICTIONS_OF_DAY))


def with_rows(rows: pa.Table, *more: pa.Table) -> dict[str, bytes]:
    """The first three days with other rows of predictions on the last one, a file for each table."""
    files = {key: data for key, data in written().items() if not key.startswith(PREDICTIONS_OF_DAY)}
    return files | {f"{PREDICTIONS_OF_DAY}/part-{number}.parquet": parquet(one) for number, one in enumerate((rows, *more))}


def changed(rows: pa.Table, here: np.ndarray, **columns: object) -> pa.Table:
    """The rows with other values in those columns where `here` says so."""
    for name, value in columns.items():
        place, field = rows.column_names.index(name), PREDICTIONS.field(name)
        old = rows[name].to_pylist()
        new = value if isinstance(value, Callable) else (lambda one, value=value: value)
        made = [new(one) if hit else one for one, hit in zip(old, here, strict=True)]
        rows = rows.set_column(place, field, pa.array(made, field.type))
    return rows


def first(num: int, share_of: pa.Table) -> np.ndarray:
    """(N,) which of the rows are the first `num`."""
    return np.arange(share_of.num_rows) < num


def same(one: Window, other: Window) -> bool:
    """Whether two windows hold the same, byte for byte; what was wrong with their input aside."""
    arrays = zip((one.vectors, one.weight), (other.vectors, other.weight), strict=True)
    alike = all(mine.tobytes() == theirs.tobytes() for mine, theirs in arrays)
    return alike and one.rows.equals(other.rows) and one.num_rows == other.num_rows
