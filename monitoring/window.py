"""A window: what the gateway answered in an hour, a day or a week, sampled so that every segment can be judged."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa

ALL = "all"
DIMENSIONS = ("platform", "category", "app_version", "seller_size", "quality", "title_language")

# A row of a window: the columns of the prediction log (components.schema.PREDICTIONS but for the vector), and of its item's listing, null
# where there is none. `category` is the root; `seller_size` and `quality` are buckets that the reference sets.
COLUMNS = pa.schema(
    [
        ("ts", pa.timestamp("us", "UTC")),
        ("request_id", pa.string()),
        ("item_id", pa.string()),
        ("image_id", pa.string()),
        ("image_score", pa.float32()),
        ("brightness", pa.float32()),
        ("sharpness", pa.float32()),
        ("text_share", pa.float32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("latency_ms", pa.float32()),
        ("platform", pa.string()),
        ("app_version", pa.string()),
        ("category", pa.string()),
        ("title_language", pa.string()),
        ("seller_id", pa.string()),
        ("seller_size", pa.string()),
        ("quality", pa.string()),
    ]
)


class Health(StrEnum):
    """Whether a window can be judged."""

    SOUND = "sound"
    TOO_LITTLE = "too little data"
    BROKEN = "broken input"


@dataclass(frozen=True)
class Window:
    """N sampled rows. `vectors` is float32 (N, D) of unit length; each row stands for `weight` (N,) rows of the log; `num_rows` counts the
    log's rows by segment. `problems` say what was wrong with the input, in words for the page."""

    start: dt.datetime
    end: dt.datetime
    fingerprint: str
    rows: pa.Table
    vectors: np.ndarray
    weight: np.ndarray
    num_rows: Mapping[str, int]
    health: Health = Health.SOUND
    problems: tuple[str, ...] = ()

    @property
    def segments(self) -> tuple[str, ...]:
        """`all`, and dimension=value of every segment that the log holds rows of."""
        return tuple(self.num_rows)

    def within(self, segment: str) -> np.ndarray:
        """(N,) which sampled rows belong to the segment."""
        if segment == ALL:
            return np.ones(len(self.vectors), bool)
        dimension, _, value = segment.partition("=")
        return np.array([found == value for found in self.rows[dimension].to_pylist()], bool)
