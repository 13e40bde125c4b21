"""The prediction log: a sample of what was answered, for whoever watches how photos and scores drift."""

import asyncio
import datetime as dt
import hashlib
from dataclasses import dataclass

import numpy as np

from components.serve.log.event_log import EventLog
from components.serve.log.journal import Appended
from components.serve.log.rows import PREDICTIONS, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A row of schema.PREDICTIONS: `vector` is (D,) of unit length, kept as float16. What is None was not known."""

    ts: dt.datetime
    request_id: str
    route: str
    release_id: str
    fingerprint: str
    vector: np.ndarray
    latency_ms: float
    item_id: str | None = None
    image_id: str | None = None
    image_score: float | None = None
    brightness: float | None = None
    sharpness: float | None = None
    text_share: float | None = None
    width: int | None = None
    height: int | None = None
    platform: str | None = None
    app_version: str | None = None


@dataclass(frozen=True)
class Predictions:
    """A request is in the sample with all that it asked, or not at all. `share` lies in [0, 1]; a larger sample holds the smaller one."""

    log: EventLog
    share: float

    def should(self, request_id: str) -> bool:
        """True where the request is in the sample, by the hash that ingest samples impressions by."""
        return int.from_bytes(hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64 < self.share

    def add(self, prediction: Prediction) -> "asyncio.Future[Appended]":
        """Hands the row to the log at once; where that has no room, the row is dropped and counted. Whoever awaits what comes back waits
        until the row is on the disk, and nobody has to."""
        row = {name: getattr(prediction, name) for name in Prediction.__slots__}
        return self.log.offer(Record(None, PREDICTIONS, [row]))
