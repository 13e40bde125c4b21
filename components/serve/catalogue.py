"""Writing listings: each is logged, its photo kept, then placed in every vector space that is in service."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.ingest.admit import Rules, admit, misplaced
from components.ingest.rows import RawListing, Rejection
from components.ingest.window import CLOCK_SLACK
from components.serve.asking import Asking
from components.serve.items import Item, Placed
from components.serve.log.event_log import EventLog
from components.serve.log.records import deleted_records, listing_records
from components.serve.pictures.seen import Seen
from components.serve.problems import Refused
from components.serve.router import Router
from components.serve.served import Served
from components.serve.wire import ItemFields, utc

SAME = ("item_id", "title", "price", "currency", "status", "created_at", "seller_id", "product_id", "description", "app_version")


@dataclass(frozen=True)
class Upserted:
    """A listing as the active release holds it. `seen` is there where its picture came with it; `newest` is False where a newer version
    stands."""

    row: Placed
    seen: Seen | None
    newest: bool


@dataclass(frozen=True)
class Catalogue:
    """The way in for listings. `rules` are those of ingest as of a time: what it would turn away later is turned away at once."""

    router: Router
    asking: Asking
    log: EventLog
    rules: Callable[[dt.datetime], Rules]

    async def upsert(self, item_id: str, fields: ItemFields, upload: bytes | None = None) -> Upserted:
        """The listing, once it is durable and can be found. Raises Refused; then nothing of it stands in the active release."""
        data = await self.asking.bytes_of(fields.picture_base64, fields.picture_url, upload)
        active = self.router.of()
        with active.lease():
            seen = await self._see(data)
            item = await self._item(active, item_id, fields, seen)
            await self._keep(item, data if seen else None)
            row = await self._row(active, item, seen)
            newest = await self.router.put(lambda served: self._rows(served, item, seen))
        return Upserted(row, seen, bool(newest))

    async def _see(self, data: bytes | None) -> Seen | None:
        if data is None:
            return None
        seen = await self.asking.pictures.see(data, [served.inference for served in self.router.served.values()], want_stats=True)
        if refused := seen.refused.get(self.router.of().fingerprint):
            raise refused
        return seen

    async def _item(self, active: Served, item_id: str, fields: ItemFields, seen: Seen | None) -> Item:
        before = await active.generation.get(item_id)
        if seen is None and before is None:
            raise Refused("invalid", f"item {item_id!r} is new: give its picture")
        now = dt.datetime.now(dt.UTC)
        created = fields.created_at or (before.item.created_at if before else now)
        listing = admitted(item_id, fields, created, self.rules(now + CLOCK_SLACK))
        item = Item(
            **{name: listing[name] for name in SAME},
            category=tuple(listing["category"]),
            image_id=seen.image_id if seen else "",
            updated_at=updated_at(fields, now, self.rules(now + CLOCK_SLACK)),
        )
        if seen:
            return replace(item, width=seen.width, height=seen.height, stats=seen.stats)
        assert before is not None
        there = before.item
        return replace(item, image_id=there.image_id, width=there.width, height=there.height, stats=there.stats)

    async def _keep(self, item: Item, data: bytes | None) -> None:
        """The listing is in the log, and its photo in the store, before anybody can find it."""
        await self.log.append(listing_records(item, data))
        if data is not None:
            await self.asking.photos.put(item.image_id, data)

    async def _rows(self, served: Served, item: Item, seen: Seen | None) -> list[Placed]:
        return [await self._row(served, item, seen)]

    async def _row(self, served: Served, item: Item, seen: Seen | None) -> Placed:
        if seen and served.fingerprint in seen.answers:
            return Placed(item, *seen.answers[served.fingerprint])
        row = await self.place(served, item)
        if row is None:
            raise Refused("image_unknown", f"the picture of {item.item_id!r} is no longer kept: send it again")
        return row

    async def place(self, served: Served, item: Item) -> Placed | None:
        """The item in the release's space, its vector taken over where it has the same picture; None where the picture is lost or bad."""
        there = await served.generation.get(item.item_id)
        if there is not None and there.item.image_id == item.image_id:
            return Placed(item, there.vector, there.image_score)
        data = await self.asking.photos.get(item.image_id)
        if data is None:
            return None
        try:
            seen = await self.asking.pictures.see(data, [served.inference], want_stats=False)
        except Refused as refused:
            if refused.kind.status != 422:
                raise
            return None
        return Placed(item, *seen.answers[served.fingerprint])

    async def delete(self, item_id: str) -> None:
        """The listing is gone from every release once this returns. Raises Refused item_unknown."""
        row = await self.router.of().generation.get(item_id)
        if row is None:
            raise Refused("item_unknown", f"no item {item_id!r}")
        at = max(dt.datetime.now(dt.UTC), row.item.updated_at)
        await self.log.append(deleted_records(row.item, at))
        await self.router.delete(item_id, at)


def admitted(item_id: str, fields: ItemFields, created_at: dt.datetime, rules: Rules) -> Mapping[str, Any]:
    """The listing as ingest will take it, its text normalised. Raises Refused invalid, with the reason that ingest would give."""
    said = fields.model_dump(exclude={"picture_base64", "picture_url", "picture", "updated_at"})
    found = admit(RawListing(said | {"item_id": item_id, "created_at": created_at}, None, ""), rules)
    if isinstance(found, Rejection):
        raise Refused("invalid", f"{found.reason}: {found.detail}")
    return found


def updated_at(fields: ItemFields, now: dt.datetime, rules: Rules) -> dt.datetime:
    """When the listing became what it is: now, unless the shop says when. Raises Refused invalid for a time that ingest would not take."""
    given = utc(fields.updated_at) if fields.updated_at else now
    if fault := misplaced(given, rules.opened, rules.as_of):
        raise Refused("invalid", f"{fault.reason}: updated_at {fault.detail}")
    return given


async def each(rows: Sequence[Any], act: Any, at_once: int = 8) -> list[Any]:
    """What `act` returns for each row, or the Refused that it raised, in order; at most `at_once` at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(row: Any) -> Any:
        async with gate:
            try:
                return await act(row)
            except Refused as refused:
                return refused

    return await asyncio.gather(*(one(row) for row in rows))
