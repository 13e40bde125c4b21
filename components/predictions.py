"""Reading the prediction log back: what the gateway answered, as schema.PREDICTIONS."""

import datetime as dt
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import schema
from components.objects import ObjectStore

LAYOUT = re.compile(r"predictions/dt=(\d{4}-\d{2}-\d{2})/[^/]+\.parquet")
AHEAD = dt.timedelta(days=1)  # a row's own clock may stand after midnight when its file's does not
LATE = dt.timedelta(days=7)  # for how long a file may have waited for a store that was down

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class PredictionLog:
    """Rows in order of ts and request, and why each file was set aside that is no table of predictions, by its key."""

    rows: pa.Table
    set_aside: Mapping[str, str]


def read_predictions(store: ObjectStore, since: dt.datetime, until: dt.datetime) -> PredictionLog:
    """The predictions of since <= ts < until. Files written more than a week after `until` are not looked at. A file that cannot be read is
    set aside and told of; the others are read. Raises StoreFailed."""
    tables, set_aside = [schema.PREDICTIONS.empty_table()], {}
    for key in _keys(store, since.astimezone(dt.UTC) - AHEAD, until.astimezone(dt.UTC) + LATE):
        try:
            tables.append(_within(_table(store.get(key)), since, until))
        except (pa.ArrowException, OSError, ValueError) as error:
            set_aside[key] = " ".join(str(error).split())[:200]
            log.warning("%s is no file of predictions and is left out: %s", key, set_aside[key])
    rows = pa.concat_tables(tables).sort_by([(name, "ascending") for name in ("ts", "request_id", "route")])
    return PredictionLog(rows, set_aside)


def _keys(store: ObjectStore, since: dt.datetime, until: dt.datetime) -> Iterator[str]:
    """The files of those days; what lies elsewhere below predictions/ is told of."""
    for one in store.stored("predictions"):
        if (found := LAYOUT.fullmatch(one.key)) is None:
            log.warning("%s is left out: predictions lie at predictions/dt=YYYY-MM-DD/NAME.parquet", one.key)
        elif since.date().isoformat() <= found[1] <= until.date().isoformat():
            yield one.key


def _table(data: bytes | None) -> pa.Table:
    """The file as schema.PREDICTIONS, null where a column may be and is not there. Raises ValueError, ArrowException, OSError."""
    if data is None:
        raise ValueError("it went away while it was read")
    found = pq.read_table(pa.BufferReader(data))
    if missing := [field.name for field in schema.PREDICTIONS if not field.nullable and field.name not in found.column_names]:
        raise ValueError(f"no column {', '.join(missing)}")
    columns = [
        found[field.name].cast(field.type) if field.name in found.column_names else pa.nulls(found.num_rows, field.type)
        for field in schema.PREDICTIONS
    ]
    table = pa.table(columns, schema=schema.PREDICTIONS)
    table.validate(full=True)
    if nulls := [field.name for field in schema.PREDICTIONS if not field.nullable and table[field.name].null_count]:
        raise ValueError(f"null in {', '.join(nulls)}")
    return table


def _within(table: pa.Table, since: dt.datetime, until: dt.datetime) -> pa.Table:
    first, end = (pa.scalar(time, schema.UTC_TIME) for time in (since, until))
    return table.filter(pc.and_(pc.greater_equal(table["ts"], first), pc.less(table["ts"], end)))
