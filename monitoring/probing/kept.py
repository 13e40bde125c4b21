"""The answers of a probing in the store: one file an hour and release, whole or not there."""

import datetime as dt
import logging
from collections.abc import Sequence

import pyarrow as pa

from components import parquet_bytes
from components.objects import ObjectStore
from components.serve.log.rows import parquet_of
from monitoring.probes import PROBES
from monitoring.probing.questions import Question, Said

log = logging.getLogger("vitrine")


def key_of(at: dt.datetime, release_id: str) -> str:
    """Where the answers of that hour lie."""
    return f"probes/dt={at:%Y-%m-%d}/{at:%H}-{release_id[:12]}.parquet"


def kept(store: ObjectStore, key: str) -> pa.Table:
    """The rows of PROBES that are there; none where there is no file, or one that cannot be read, which is told of. Raises StoreFailed."""
    if (data := store.get(key)) is None:
        return PROBES.empty_table()
    try:
        return parquet_bytes.table_of(data).select(PROBES.names).cast(PROBES)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        log.warning("%s holds no probes and is written anew: %s", key, " ".join(str(error).split())[:200])
        return PROBES.empty_table()


def keep(store: ObjectStore, key: str, rows: pa.Table) -> None:
    """Writes the file in one step. Raises StoreFailed."""
    store.put(key, parquet_of(rows))


def rows_of(answers: Sequence[tuple[Question, Said]], at: dt.datetime, release_id: str) -> pa.Table:
    """The answers as rows of PROBES, asked at that time."""
    rows = [
        {"ts": at, "kind": one.kind, "name": one.name, "value": said.value, "expected": said.expected, "found": said.found}
        | {"release_id": release_id}
        for one, said in answers
    ]
    return pa.Table.from_pylist(rows, schema=PROBES)
