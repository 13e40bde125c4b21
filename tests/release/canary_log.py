"""What a gateway writes during a canary, made by hand: rows of answers, of items shown and of acts, as files in a store."""

import datetime as dt
import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.objects import ObjectStore
from components.release.channel import EMPTY, PLATFORMS, Channel, climbed, first, proposed
from components.release.logged import FOLDERS
from components.release.strata import Limits, Stratum

Row = Mapping[str, Any]
STABLE, CANDIDATE = "a" * 64, "c" * 64
BEGAN = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
GROUPS: Mapping[str, list[Any]] = {"web": ["web"], "app": ["ios", "android"]}
LIMITS = Limits(latency_ms=100.0, score_low=0.25, score_high=0.75)
ATTRIBUTION_S = 600.0
SCHEMAS = {
    "answers": schema.ANSWERS,
    "impressions": pa.schema([*schema.EVENTS["impressions"], *schema.EVENTS_BESIDE["impressions"]]),
    "clicks": pa.schema([*schema.EVENTS["clicks"], *schema.EVENTS_BESIDE["clicks"]]),
}


def after(seconds: float) -> dt.datetime:
    """That long after the candidate was proposed."""
    return BEGAN + dt.timedelta(seconds=seconds)


def stratum(group: str = "web", weight_percent: int = 5, since_s: float = 0, limits: Limits | None = LIMITS) -> Stratum:
    """A rung of the candidate, or with weight 0 its shadow."""
    return Stratum(
        CANDIDATE,
        STABLE,
        BEGAN,
        group,
        tuple(GROUPS[group]),
        weight_percent,
        after(since_s),
        ATTRIBUTION_S,
        limits if weight_percent else None,
    )


def channel(weight_percent: int = 0, since_s: float = 0) -> Channel:
    """The record with the candidate on every platform at that weight."""
    found = proposed(first(EMPTY, STABLE), CANDIDATE, BEGAN, 0.5, "proposed")
    return climbed(found, PLATFORMS, weight_percent, after(since_s), "climbs") if weight_percent else found


def answer(request_id: str, user_id: str | None = "u", arm: str = "stable", *, at_s: float = 1, **more: Any) -> dict[str, Any]:
    """An answer of four hits at 5 %."""
    row = {
        "ts": after(at_s),
        "request_id": request_id,
        "route": "similar",
        "revision": 3,
        "candidate_id": CANDIDATE,
        "arm": arm,
        "release_id": STABLE if arm == "stable" else CANDIDATE,
        "platform": "web",
        "user_id": user_id,
        "weight_percent": 5,
        "status": 200,
        "latency_ms": 20.0,
        "num_hits": 4,
        "num_sellers": 3,
        "hit_scores": [0.5] * 4,
        "overlap": None,
        "score_shift": None,
    }
    return row | more


def shown(request_id: str, item_id: str, **more: Any) -> dict[str, Any]:
    """An item on a page."""
    row = {
        "event_id": f"{request_id}/{item_id}",
        "request_id": request_id,
        "ts": after(2),
        "surface": "similar",
        "platform": "web",
        "user_id": "whoever",
        "source_item_id": "i-0",
        "item_id": item_id,
        "position": 0,
        "price": 100.0,
        "release_id": "whatever the client says",
    }
    return row | more


def act(request_id: str, item_id: str, *, at_s: float = 30, action: str = "click") -> dict[str, Any]:
    """A click, unless it says otherwise."""
    return {
        "event_id": f"{request_id}.{item_id}.{action}.{at_s}",
        "request_id": request_id,
        "item_id": item_id,
        "ts": after(at_s),
        "action": action,
    }


def parquet(name: str, rows: Sequence[Row]) -> bytes:
    """The rows as a file of the table `name`, as the gateway writes it."""
    pq.write_table(pa.Table.from_pylist([_known(name, row) for row in rows], SCHEMAS[name]), sink := io.BytesIO(), compression="zstd")
    return sink.getvalue()


def _known(name: str, row: Row) -> dict[str, Any]:
    wanted = SCHEMAS[name]
    assert set(row) <= set(wanted.names)
    return {field.name: row.get(field.name) for field in wanted}


def write(store: ObjectStore, name: str, rows: Sequence[Row], day: dt.datetime = BEGAN) -> str:
    """Puts the file where the gateway would, and returns its key."""
    data = parquet(name, rows)
    key = f"{FOLDERS[name][0]}/dt={day.date().isoformat()}/{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    store.put(key, data)
    return key
