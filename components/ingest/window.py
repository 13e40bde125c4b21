"""Which rows a run takes: until when, from when on, and which share of results pages."""

import datetime as dt
import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

CLOCK_SLACK = dt.timedelta(minutes=10)  # by how much a client's clock may run ahead of the file's
LATE_CLICKS = dt.timedelta(days=7)  # how long after its page a click may come for the page to be looked up in older files
EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Window:
    """Times are in UTC. `days` is how long impressions are kept, None for ever; `share` in [0, 1] is of results pages."""

    opened: dt.datetime
    as_of: dt.datetime
    days: int | None
    share: float

    @property
    def start(self) -> dt.datetime:
        """The first moment whose impressions are kept."""
        return self.opened if self.days is None else max(self.opened, self.as_of - dt.timedelta(days=self.days))

    @property
    def since(self) -> dt.date | None:
        """The first day whose files of impressions and clicks can matter; None where all can."""
        return None if self.days is None else (self.start - CLOCK_SLACK - LATE_CLICKS).date()


def latest_of(day: dt.date) -> dt.datetime:
    """The latest time that a row of a file written on `day` can have."""
    return dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=1) + CLOCK_SLACK


@dataclass(frozen=True)
class Placed:
    """Rows by the hash of their request_id: the shard of each (N,), and whether its page is in the sample (N,)."""

    shard_N: np.ndarray
    sampled_N: np.ndarray


def placed(request_ids: pa.ChunkedArray, num_shards: int, share: float) -> Placed:
    """A page goes whole to one shard, and whole into the sample or out of it, whatever file it came in. Null counts as blank."""
    coded = request_ids.cast(pa.binary()).combine_chunks().fill_null(b"").dictionary_encode()
    digests = [hashlib.sha256(value).digest() for value in coded.dictionary.to_pylist()]
    shard_U = np.array([int.from_bytes(digest, "big") % num_shards for digest in digests], np.int64)
    luck_U = np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
    index_N = coded.indices.to_numpy()
    return Placed(shard_U[index_N], luck_U[index_N] < share)
