"""The simulated market day by day: what its sellers change and its shoppers look at. Day 0 is the one on which the shop opens.

A day depends on the params, the opening day and its own number alone, so days can be written in any number of steps.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.ingest.broken import way_of
from components.ingest.catalogue import names_of
from components.ingest.drawing.photo import Photo, new_pose
from components.ingest.market import MarketConfig, Offer, offers, rounded
from components.ingest.rows import CatalogueItem
from components.ingest.sellers import new_defects
from components.ingest.shoppers import browse

ON_SALE = "on_sale"
_CHANGE, _NEW = 21, 22


@dataclass(frozen=True)
class Change:
    """What a seller did at a moment: the listing's columns and photo from then on. `appears` is the first change of a listing."""

    offer: Offer
    at: dt.datetime
    fields: Mapping[str, object]
    photo: Photo
    new_photo: bool
    appears: bool = False


@dataclass
class Stand:
    """Where a listing stands: what was offered, with all that was changed since."""

    offer: Offer
    fields: Mapping[str, object]
    photo: Photo

    @property
    def item(self) -> CatalogueItem:
        """The listing as shoppers see it."""
        fields = self.fields
        price, seller = float(str(fields["price"])), str(fields["seller_id"])
        return CatalogueItem(
            self.offer.item_id, str(fields["title"]), tuple(names_of(fields["category"])), price, seller, self.photo.quality
        )


class MarketDays:
    """The market from its opening on, for `num_days`. Its days must be asked for in order."""

    def __init__(self, cfg: MarketConfig, opened: dt.date, num_days: int) -> None:
        self.start = dt.datetime.combine(opened, dt.time(), dt.UTC)
        self.num_first, self.num_new = cfg.num_listings, round(cfg.daily.new_share * cfg.num_listings)
        self.num_requests = round(cfg.num_requests / cfg.num_days)
        total = self.num_first + self.num_new * (num_days - 1)
        self.cfg = cfg.model_copy(update={"as_of": self.start.isoformat(), "num_days": 0, "num_listings": total})
        self.stands: list[Stand] = []
        self._offers = offers(self.cfg)

    def next_day(self, day: int) -> tuple[list[Change], pa.Table]:
        """What sellers did on the day, and its impressions (schema.IMPRESSIONS) of what was on sale when it began."""
        if day == 0:
            return list(self._appearing(day)), self._browsed(day)
        shown = self._browsed(day)
        return [*self._changed(day), *self._appearing(day)], shown

    def midnight(self, day: int) -> dt.datetime:
        """When the day begins, in UTC."""
        return self.start + dt.timedelta(days=day)

    def way_of(self, offer: Offer) -> str | None:
        """How a listing is broken on purpose, as in the market at rest; but none takes the id of another."""
        way = way_of(offer.index, self.cfg.bad_share)
        return None if way == "duplicate_id" else way

    def _appearing(self, day: int) -> Iterator[Change]:
        """New listings: all of the first on the day of opening, which were listed before."""
        for _ in range(self.num_new if day else self.num_first):
            offer = next(self._offers)
            at = self._moment(day, np.random.default_rng([self.cfg.seed, _NEW, offer.index]))
            new = {"created_at": at.isoformat(), "status": ON_SALE} if day else {}
            stand = Stand(offer, {**offer.fields, **new}, offer.photo)
            self.stands.append(stand)
            created = dt.datetime.fromisoformat(str(stand.fields["created_at"]))
            yield Change(offer, created, stand.fields, offer.photo, new_photo=True, appears=True)

    def _changed(self, day: int) -> Iterator[Change]:
        """Listings on sale that get another price or photo, are sold or deleted; none twice a day."""
        rng = np.random.default_rng([self.cfg.seed, _CHANGE, day])
        on_sale = rng.permutation(np.array([number for number, stand in enumerate(self.stands) if self._is_shown(stand)], np.int64))
        start = 0
        for what in ("price", "sold", "deleted", "photo"):
            count = int(getattr(self.cfg.daily, f"{what}_share") * len(on_sale) + rng.random())
            for number in on_sale[start : start + count]:
                yield self._change(self.stands[number], what, self._moment(day, rng), rng)
            start += count

    def _change(self, stand: Stand, what: str, at: dt.datetime, rng: np.random.Generator) -> Change:
        if what == "photo":
            seed = (*stand.photo.seed, int(rng.integers(2**31)))
            stand.photo = dataclasses.replace(stand.photo, pose=new_pose(rng), defects=new_defects(stand.offer.care, rng), seed=seed)
            return Change(stand.offer, at, stand.fields, stand.photo, new_photo=True)
        cheaper = rounded(float(str(stand.fields["price"])) * float(rng.uniform(0.7, 0.95)))
        stand.fields = {**stand.fields, **({"price": cheaper} if what == "price" else {"status": what})}
        return Change(stand.offer, at, stand.fields, stand.photo, new_photo=False)

    def _moment(self, day: int, rng: np.random.Generator) -> dt.datetime:
        return self.midnight(day) + dt.timedelta(seconds=int(rng.integers(24 * 3600)))

    def _is_shown(self, stand: Stand) -> bool:
        return stand.fields["status"] == ON_SALE and self.way_of(stand.offer) is None

    def _browsed(self, day: int) -> pa.Table:
        of_day = {"as_of": self.midnight(day + 1).isoformat(), "num_days": 1, "num_requests": self.num_requests}
        items = [stand.item for stand in self.stands if self._is_shown(stand)]
        return browse(items, self.cfg.model_copy(update=of_day), salt=int(f"{self.midnight(day):%Y%m%d}"))
