"""The probes of a span, as monitoring/probes.py lays them out."""

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa

from components import parquet_bytes
from components.objects import ObjectStore
from components.predictions import within
from monitoring.probes import PROBES
from monitoring.span import Span

LOOK_BACK, ONE_DAY = dt.timedelta(days=7), dt.timedelta(days=1)


@dataclass(frozen=True)
class Probed:
    """Rows of PROBES asked in the span, and files that cannot be read. `num_before`: files of the week before a span of a day or more; of
    a shorter one nobody knows whether it should have any."""

    rows: pa.Table
    set_aside: tuple[str, ...]
    num_before: int


def probes_within(store: ObjectStore, span: Span) -> Probed:
    """The span's probes. Raises StoreFailed."""
    tables, aside, num_before = [PROBES.empty_table()], [], 0
    for one in store.stored("probes"):
        day = one.key.removeprefix("probes/dt=")[:10]
        if span.start.date().isoformat() <= day <= span.end.date().isoformat():
            try:
                tables.append(within(_table(store.get(one.key) or b""), span.start, span.end))
            except (pa.ArrowException, OSError, ValueError, KeyError):
                aside.append(one.key)
        num_before += bool(
            span.end - span.start >= ONE_DAY and (span.start - LOOK_BACK).date().isoformat() <= day < span.start.date().isoformat()
        )
    return Probed(pa.concat_tables(tables), tuple(aside), num_before)


def _table(data: bytes) -> pa.Table:
    """The file's rows; a column that may be null may be absent."""
    found = parquet_bytes.table_of(data)
    columns = [
        found[field.name].cast(field.type) if field.name in found.column_names or not field.nullable else pa.nulls(len(found), field.type)
        for field in PROBES
    ]
    return pa.table(columns, schema=PROBES)
