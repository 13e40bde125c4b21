"""Which items were written lately, from what the gateway logged of them."""

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from components import parquet_bytes
from components.objects import ObjectStore
from components.schema import UTC_TIME

COLUMNS = ["item_id", "image_id", "status", "updated_at"]
DELETED = "deleted"
LATE = dt.timedelta(days=1)  # a row written before midnight may come to the store after it

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Version:
    """How an item stands by its newest row: its photo, and whether it is there at all."""

    image_id: str
    is_deleted: bool


def written(store: ObjectStore, since: dt.datetime, until: dt.datetime) -> dict[str, Version]:
    """The items written at since <= updated_at <= until, as each stood then, by item_id. A file that cannot be read is left out and told
    of. Raises StoreFailed."""
    newest: dict[str, tuple[dt.datetime, str, str]] = {}
    for table in _tables(store, since, until):
        for row in table.to_pylist():
            rank = (row["updated_at"], row["image_id"], row["status"])
            newest[row["item_id"]] = max(rank, newest.get(row["item_id"], rank))
    return {item_id: Version(image_id, status == DELETED) for item_id, (_, image_id, status) in newest.items()}


def _tables(store: ObjectStore, since: dt.datetime, until: dt.datetime) -> Iterator[pa.Table]:
    first, last = (pa.scalar(time, UTC_TIME) for time in (since, until))
    day, end = since.astimezone(dt.UTC).date(), (until.astimezone(dt.UTC) + LATE).date()
    while day <= end:
        for one in store.stored(f"events/listings/dt={day}"):
            if one.key.endswith(".parquet") and (table := _read(store, one.key)) is not None:
                yield table.filter(pc.and_(pc.greater_equal(table["updated_at"], first), pc.less_equal(table["updated_at"], last)))
        day += dt.timedelta(days=1)


def _read(store: ObjectStore, key: str) -> pa.Table | None:
    try:
        data = store.get(key)
        if data is None:
            return None
        table = parquet_bytes.table_of(data, COLUMNS)
        kinds = [UTC_TIME if name == "updated_at" else pa.string() for name in COLUMNS]
        return table.select(COLUMNS).cast(pa.schema(list(zip(COLUMNS, kinds, strict=True)))).drop_null()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        log.warning("%s is no file of listings and is left out: %s", key, " ".join(str(error).split())[:200])
        return None
