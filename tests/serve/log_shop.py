"""An event log for tests: its knobs, a clock that stands still, records of a small shop, and what lies in the store."""

import contextlib
import datetime as dt
import io
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import bind, read_params
from components.errors import StoreFailed
from components.objects import FolderStore
from components.serve.log.config import LogConfig
from components.serve.log.event_log import EventLog
from components.serve.log.rows import PREDICTIONS, Record

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
VECTOR = [0.6, 0.8]


def knobs(**changes):
    """`serve.log` with some knobs changed, and nothing flushed before it is asked."""
    cfg = bind(LogConfig, "log", PARAMS["serve"])
    return LogConfig(
        **cfg.model_dump() | {"flush_s": 3600.0, "flush_mib": 64.0, "retry_s": 0.01, "max_retry_s": 0.05, "close_s": 10.0} | changes
    )


class Clock:
    """Unix time that a test sets."""

    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now.timestamp()


class Broken:
    """A store that can be made to refuse, as a bucket that is gone does; everything else is the real one's."""

    def __init__(self, root):
        self.real, self.is_down, self.num_puts = FolderStore(root), False, 0

    def __getattr__(self, name):
        return getattr(self.real, name)

    def put(self, key, data):
        self.num_puts += 1
        if self.is_down:
            raise StoreFailed("the bucket cannot be reached")
        self.real.put(key, data)


@contextlib.asynccontextmanager
async def opened(folder, store=None, clock=None, **changes):
    """The log in folder/state over folder/store, until the block ends."""
    log = await EventLog.open(folder / "state", store or FolderStore(folder / "store"), knobs(**changes), clock=clock or Clock())
    try:
        yield log
    finally:
        await log.close()


def click(number, **changes):
    """A click record, its event_id c-NUMBER."""
    row = {"event_id": f"c-{number}", "request_id": f"r-{number}", "item_id": f"i-{number}", "ts": NOON, "action": "click"} | changes
    return Record(f"c-{number}", "clicks", [row])


def prediction(number, filler=""):
    import numpy as np

    row = {
        "ts": NOON,
        "request_id": f"r-{number}",
        "route": "similar",
        "release_id": "a" * 64,
        "fingerprint": "f1",
        "vector": np.array(VECTOR, np.float32),
        "latency_ms": 1.5,
        "app_version": filler or None,
    }
    return Record(None, PREDICTIONS, [row])


def keys(folder):
    """The keys of the store, sorted."""
    return [one.key for one in FolderStore(folder / "store").stored() if one.key.endswith(".parquet")]


def rows(folder, table="events/clicks"):
    """Every row of the table in the store, in any order."""
    store = FolderStore(folder / "store")
    found = [pq.read_table(io.BytesIO(store.get(key))) for key in keys(folder) if key.startswith(f"{table}/")]
    return pa.concat_tables(found).to_pylist() if found else []


def ids(folder, table="events/clicks"):
    return sorted(row["event_id"] for row in rows(folder, table))


@contextlib.contextmanager
def told():
    """What the project's logger says in the block."""
    lines = []

    class Ear(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger, ear = logging.getLogger("vitrine"), Ear()
    logger.addHandler(ear)
    try:
        yield lines
    finally:
        logger.removeHandler(ear)
