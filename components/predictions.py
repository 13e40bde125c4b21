"""Reading the prediction log back: what the gateway answered, as schema.PREDICTIONS; whole, or a file and some rows at a time."""

import datetime as dt
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import schema
from components.errors import BadData
from components.objects import ObjectStore

LAYOUT = re.compile(r"predictions/dt=(\d{4}-\d{2}-\d{2})/[^/]+\.parquet")
AHEAD = dt.timedelta(days=1)  # a row's own clock may stand after midnight when its file's does not
LATE = dt.timedelta(days=7)  # for how long a file may have waited for a store that was down
BATCH_ROWS = 16_384
LARGE_BYTES = 32 << 20  # a larger file is read from the disk, not from memory

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class PredictionFile:
    """A file's key, the day (UTC) on which it was written, and its size."""

    key: str
    day: dt.date
    num_bytes: int


@dataclass(frozen=True)
class Batch:
    """Rows of a file, as schema.PREDICTIONS; `first` is the number of the first one in the file."""

    first: int
    rows: pa.Table


@dataclass(frozen=True)
class PredictionLog:
    """Rows in order of ts and request, and why each file was set aside that is no table of predictions, by its key."""

    rows: pa.Table
    set_aside: Mapping[str, str]


def read_predictions(store: ObjectStore, since: dt.datetime, until: dt.datetime) -> PredictionLog:
    """The predictions of since <= ts < until. Files written more than a week after `until` are not looked at. A file that cannot be read is
    set aside and told of; the others are read. Raises StoreFailed."""
    tables, set_aside = [schema.PREDICTIONS.empty_table()], {}
    for file in prediction_files(store, since, until):
        try:
            tables += [within(batch.rows, since, until) for batch in batches(store, file)]
        except BadData as error:
            set_aside[file.key] = str(error)
            log.warning("%s is no file of predictions and is left out: %s", file.key, error)
    rows = pa.concat_tables(tables).sort_by([(name, "ascending") for name in ("ts", "request_id", "route")])
    return PredictionLog(rows, set_aside)


def prediction_files(store: ObjectStore, since: dt.datetime, until: dt.datetime) -> Iterator[PredictionFile]:
    """The files, by key, in which rows of since <= ts < until may lie; what lies elsewhere below predictions/ is told of."""
    first, last = ((time.astimezone(dt.UTC)).date().isoformat() for time in (since - AHEAD, until + LATE))
    for one in store.stored("predictions"):
        if (found := LAYOUT.fullmatch(one.key)) is None:
            log.warning("%s is left out: predictions lie at predictions/dt=YYYY-MM-DD/NAME.parquet", one.key)
        elif first <= found[1] <= last:
            yield PredictionFile(one.key, dt.date.fromisoformat(found[1]), one.num_bytes)


def batches(
    store: ObjectStore, file: PredictionFile, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> Iterator[Batch]:
    """The file's rows in order, some at a time. With `since` and `until`, row groups whose own statistics say that they hold no row of
    since <= ts < until are left out.

    Raises BadData where the file is no table of predictions, which may come to light after some rows were given; StoreFailed.
    """
    try:
        with _opened(store, file) as source:
            reader = pq.ParquetFile(source, pre_buffer=False)  # what pyarrow reads ahead it would keep until the end
            _check_columns(reader.schema_arrow)
            for group, first in _groups(reader.metadata, since, until):
                for found in reader.iter_batches(BATCH_ROWS, row_groups=[group]):
                    yield Batch(first, _fitted(pa.Table.from_batches([found])))
                    first += found.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadData(" ".join(str(error).split())[:200] or type(error).__name__) from None


@contextmanager
def _opened(store: ObjectStore, file: PredictionFile) -> Iterator[BinaryIO | pa.BufferReader]:
    """The file's bytes: in memory, or where they are many, on the disk for as long as they are read."""
    if file.num_bytes <= LARGE_BYTES:
        if (data := store.get(file.key)) is None:
            raise BadData("it went away while it was read")
        yield pa.BufferReader(data)
        return
    with tempfile.TemporaryDirectory(prefix="vitrine-log-") as folder:
        path = Path(folder) / "predictions.parquet"
        if not store.download(file.key, path, 2 * file.num_bytes):
            raise BadData("it went away while it was read")
        with open(path, "rb") as source:
            path.unlink()
            yield source


def _check_columns(found: pa.Schema) -> None:
    """Raises ValueError."""
    if missing := [field.name for field in schema.PREDICTIONS if not field.nullable and field.name not in found.names]:
        raise ValueError(f"no column {', '.join(missing)}")


def _groups(about: pq.FileMetaData, since: dt.datetime | None, until: dt.datetime | None) -> Iterator[tuple[int, int]]:
    """Row groups, and the number of each one's first row."""
    first = 0
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        if since is None or until is None or _may_hold(group, since, until):
            yield number, first
        first += group.num_rows


def _may_hold(group: pq.RowGroupMetaData, since: dt.datetime, until: dt.datetime) -> bool:
    """Whether a row of that time may lie in the group; true where it does not say."""
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema == "ts" and column.is_stats_set and column.statistics.has_min_max:
            try:
                return bool(column.statistics.min < until and column.statistics.max >= since)
            except (TypeError, ValueError, OverflowError):  # no time with a zone, or one that no calendar has
                return True
    return True


def _fitted(found: pa.Table) -> pa.Table:
    """The rows as schema.PREDICTIONS, null where a column may be and is not there. Raises ValueError, ArrowException."""
    columns = [
        found[field.name].cast(field.type) if field.name in found.column_names else pa.nulls(found.num_rows, field.type)
        for field in schema.PREDICTIONS
    ]
    table = pa.table(columns, schema=schema.PREDICTIONS)
    table.validate(full=True)
    if nulls := [field.name for field in schema.PREDICTIONS if not field.nullable and table[field.name].null_count]:
        raise ValueError(f"null in {', '.join(nulls)}")
    return table


def within(table: pa.Table, since: dt.datetime, until: dt.datetime) -> pa.Table:
    """The rows of since <= ts < until."""
    first, end = (pa.scalar(time, schema.UTC_TIME) for time in (since, until))
    return table.filter(pc.and_(pc.greater_equal(table["ts"], first), pc.less(table["ts"], end)))
