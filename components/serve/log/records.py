"""What a request becomes in the log. Pure: records come back, or Refused says why not."""

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from components.ingest.admit import text_of
from components.serve.items import Item
from components.serve.log.rows import Record
from components.serve.log.wire import Act, Exposure, Shown, utc
from components.serve.problems import Refused

LISTING_FIELDS = ("item_id", "seller_id", "product_id", "title", "description", "price", "currency", "status", "app_version", "image_id")
NAMED_ALIKE = ("platform", "release_id")


@dataclass(frozen=True)
class Scribe:
    """Writes events down: `hashed` names a user, and times lie between so long ago and so much ahead of the clock."""

    hashed: Callable[[str], str]
    max_ahead: dt.timedelta
    max_age: dt.timedelta

    def record(self, event: Exposure | Act, now: dt.datetime) -> Record:
        """Its rows: one for each item of an exposure, one for anything else. Raises Refused time_in_future or time_too_old."""
        ts = self._time(event, now)
        if isinstance(event, Exposure):
            return Record(event.event_id, "impressions", self._page(event, ts), stamped=event.ts is None)
        return Record(event.event_id, "clicks", [self._act(event, ts)], stamped=event.ts is None)

    def _time(self, event: Exposure | Act, now: dt.datetime) -> dt.datetime:
        ts = utc(event.ts) if event.ts else now
        if ts > now + self.max_ahead:
            raise Refused("time_in_future", f"ts is {(ts - now).total_seconds():.0f} s ahead of our clock (serve.log.max_clock_skew_s)")
        if ts < now - self.max_age:
            raise Refused("time_too_old", f"ts lies {(now - ts).days} days back (serve.log.max_age_days)")
        return ts

    def _page(self, event: Exposure, ts: dt.datetime) -> list[dict[str, object]]:
        page = event.model_dump(include={"request_id", "surface", "query", "simulated", *NAMED_ALIKE})
        page |= {"ts": ts, "user_id": self.hashed(event.user_id), "source_item_id": text_of(event.source_item_id)}
        return [page | _shown(event.event_id, one) for one in event.items]

    def _act(self, event: Act, ts: dt.datetime) -> dict[str, object]:
        row = event.model_dump(include={"event_id", "request_id", *NAMED_ALIKE})
        row |= {"ts": ts, "item_id": text_of(event.item_id), "action": event.type}
        row["user_id"] = None if event.user_id is None else self.hashed(event.user_id)
        return row


def _shown(event_id: str, one: Shown) -> dict[str, object]:
    return {"event_id": f"{event_id}/{one.position}", "item_id": text_of(one.item_id), "position": one.position, "price": one.price}


def listing_records(item: Item, data: bytes | None) -> list[Record]:
    """The upsert, and its picture where the bytes are given, which is written once however many items show it. The same upsert again is
    a repetition."""
    row: dict[str, object] = {name: getattr(item, name) for name in LISTING_FIELDS}
    row |= {"category": list(item.category), "created_at": item.created_at, "updated_at": item.updated_at}
    said = hashlib.sha256(repr(sorted(row.items())).encode("utf-8", "backslashreplace")).hexdigest()
    listing = Record(f"listing/{said}", "listings", [row])
    picture = [] if data is None else [Record(f"image/{item.image_id}", "images", [{"image_id": item.image_id, "data": data}])]
    return [*picture, listing]


def deleted_records(item: Item, at: dt.datetime) -> list[Record]:
    """The listing as deleted at that moment."""
    return listing_records(replace(item, status="deleted", updated_at=at), None)
