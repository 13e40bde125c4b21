"""A marketplace in a box: listings of drawn products by sellers of uneven care. No network and no data are needed.

Row i depends on the seed and on i alone, so a larger market begins with the rows of a smaller one.
"""

import dataclasses
import datetime as dt
import hashlib
import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from components.contract import Config
from components.ingest.broken import broken, way_of
from components.ingest.drawing.backdrops import BACKDROPS
from components.ingest.drawing.defects import Defect
from components.ingest.drawing.kinds import KINDS, new_look
from components.ingest.drawing.photo import Photo, encode, new_pose, take
from components.ingest.rows import RawListing
from components.ingest.sellers import Seller, new_defects, seller_of
from components.ingest.titles import ENGLISH, JAPANESE, wording

SOURCE = "simulate"
FILLED = ("price", "currency", "created_at", "status", "app_version")
APP_VERSIONS = ("7.1.0", "7.2.0", "7.2.3", "7.3.0")
STATUS_SHARES = {"on_sale": 0.82, "sold": 0.15, "deleted": 0.03}
LISTED_WITHIN_DAYS = 90
REMEMBERED_PHOTOS = 8
_ITEM, _PRODUCT = 1, 3

Share = Annotated[float, Field(ge=0, le=1)]


def utc(text: str) -> str:
    """The ISO time as it is. Raises ValueError where it names no zone."""
    if dt.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"give the time zone, for example {text}Z")
    return text


class ClickModel(Config):
    """P(click) = (1 + position) ** -position_bias * sigmoid(intercept + taste_weight * relevance + quality_weight * (quality - 0.5)).

    P(purchase | click) = purchase_share * relevance. Relevance and quality are in [0, 1]; unknown quality counts as 0.5.
    """

    position_bias: float = Field(ge=0)
    intercept: float
    taste_weight: float
    quality_weight: float
    purchase_share: Share


class DailyConfig(Config):
    """What happens on a day that `vitrine simulate` writes: shares of the listings on sale, and for new ones of num_listings."""

    new_share: Share
    price_share: Share
    sold_share: Share
    deleted_share: Share
    photo_share: Share


class MarketConfig(Config):
    """How large the market is, how its sellers and shoppers behave, and when it is."""

    seed: int = Field(ge=0)
    as_of: Annotated[str, AfterValidator(utc)]
    num_days: int = Field(gt=0)
    num_listings: int = Field(ge=0)
    num_sellers: int = Field(gt=0)
    sellers_per_circle: int = Field(gt=0)
    photo_px: int = Field(ge=64, le=1024)
    japanese_share: Share
    relist_share: Share
    near_duplicate_share: Share
    bad_share: float = Field(ge=0, le=0.5)
    currency: str = Field(pattern="^[A-Z]{3}$")
    price_spread: float = Field(ge=0)
    num_users: int = Field(gt=0)
    num_requests: int = Field(ge=0)
    num_slots: int = Field(gt=1)
    similar_share: Share
    click: ClickModel
    daily: DailyConfig

    @property
    def now(self) -> dt.datetime:
        """`as_of` as a time in UTC."""
        return dt.datetime.fromisoformat(self.as_of).astimezone(dt.UTC)


@dataclass(frozen=True)
class Truth:
    """What only the simulator knows of a listing: a row of schema.TRUTH."""

    item_id: str
    quality: float
    kind: str
    defects: tuple[Defect, ...]


@dataclass(frozen=True)
class Shot:
    """A photo taken in the market and the product it shows, numbered by the row that listed it first."""

    photo: Photo
    product: int


@dataclass(frozen=True)
class Offer:
    """What a seller offers in row `index`: columns of schema.LISTINGS, and the photo, which is not drawn yet."""

    index: int
    fields: Mapping[str, object]
    photo: Photo
    care: float

    @property
    def item_id(self) -> str:
        """The id under which it is listed."""
        return _id(self.index)


def offers(cfg: MarketConfig) -> Iterator[Offer]:
    """The market's rows in order, one at a time, none of them broken. Memory does not grow with the number of rows."""
    circles: dict[int, deque[Shot]] = defaultdict(lambda: deque(maxlen=REMEMBERED_PHOTOS))
    for index in range(cfg.num_listings):
        rng = np.random.default_rng([cfg.seed, _ITEM, index])
        seller = seller_of(int(cfg.num_sellers * rng.random() ** 1.4), cfg.seed, cfg.sellers_per_circle, cfg.japanese_share)
        shot = _shoot(index, seller, circles[seller.circle], cfg, rng)
        circles[seller.circle].append(shot)
        yield Offer(index, _fields(index, seller, shot, cfg, rng), shot.photo, seller.care)


def simulate(cfg: MarketConfig) -> Iterator[tuple[RawListing, Truth]]:
    """The market's rows in order, one at a time: each listing as its seller sent it, and the truth about it.

    A share of rows is broken on purpose (broken.py).
    """
    for offer in offers(cfg):
        listing = sent(offer)
        if way := way_of(offer.index, cfg.bad_share):
            listing = broken(listing, way, _id(offer.index - 1))
        yield listing, Truth(str(listing.fields["item_id"]), offer.photo.quality, offer.photo.kind, offer.photo.defects)


def sent(offer: Offer) -> RawListing:
    """The listing with its photo drawn."""
    return RawListing(offer.fields, encode(take(offer.photo), offer.photo.jpeg_quality), f"{offer.item_id}.jpg")


def _id(index: int) -> str:
    return f"m-{index:06d}"


def _shoot(index: int, seller: Seller, earlier: deque[Shot], cfg: MarketConfig, rng: np.random.Generator) -> Shot:
    """The row's photo: an earlier one of the circle encoded again, an earlier product seen anew, or a new product."""
    luck, jpeg_quality = rng.random(), int(rng.integers(68, 96))
    shown = earlier[int(rng.integers(len(earlier)))] if earlier and luck < cfg.near_duplicate_share + cfg.relist_share else None
    if shown and luck < cfg.near_duplicate_share:
        other_quality = jpeg_quality if jpeg_quality != shown.photo.jpeg_quality else jpeg_quality - 5
        return Shot(dataclasses.replace(shown.photo, jpeg_quality=other_quality), shown.product)
    kind = seller.kinds[int(rng.integers(len(seller.kinds)))] if rng.random() < 0.6 else list(KINDS)[int(rng.integers(len(KINDS)))]
    look = new_look(KINDS[kind], rng)
    photo = Photo(
        kind=shown.photo.kind if shown else kind,
        look=shown.photo.look if shown else look,
        pose=new_pose(rng),
        backdrop=(seller.backdrops if rng.random() < 0.8 else BACKDROPS)[int(rng.integers(2))],
        size=_size(cfg.photo_px, rng),
        defects=new_defects(seller.care, rng),
        jpeg_quality=jpeg_quality,
        seed=(cfg.seed, _ITEM, index, 1),
    )
    return Shot(photo, shown.product if shown else index)


def _size(long_px: int, rng: np.random.Generator) -> tuple[int, int]:
    short_px = long_px * 3 // 4
    return ((long_px, long_px), (long_px, long_px), (short_px, long_px), (long_px, short_px))[int(rng.integers(4))]


def _fields(index: int, seller: Seller, shot: Shot, cfg: MarketConfig, rng: np.random.Generator) -> dict[str, object]:
    kind, photo = KINDS[shot.photo.kind], shot.photo
    language = JAPANESE if (rng.random() < 0.9) == seller.japanese else ENGLISH
    words = wording(kind, photo.look, language, rng)
    product_price = kind.price * math.exp(cfg.price_spread * np.random.default_rng([cfg.seed, _PRODUCT, shot.product]).normal())
    made: dict[str, object] = {
        "item_id": _id(index),
        "seller_id": seller.seller_id,
        "product_id": f"p-{shot.product:06d}",
        "title": words.title,
        "title_language": language,
        "description": words.description,
        "category": list(kind.category),
        "price": rounded(product_price * words.price_factor * math.exp(0.12 * rng.normal())),
        **_paperwork(cfg, rng),
    }
    return {**made, "source": SOURCE, "simulated": list(made)}


def _paperwork(cfg: MarketConfig, rng: np.random.Generator) -> dict[str, object]:
    age_days = cfg.num_days + LISTED_WITHIN_DAYS * rng.random()
    created = (cfg.now - dt.timedelta(days=age_days)).replace(microsecond=0)
    return {
        "currency": cfg.currency,
        "created_at": created.isoformat(),
        "status": str(rng.choice(list(STATUS_SHARES), p=list(STATUS_SHARES.values()))),
        "app_version": APP_VERSIONS[int(rng.integers(len(APP_VERSIONS)))],
    }


def fill_missing(fields: Mapping[str, object], cfg: MarketConfig) -> tuple[dict[str, object], list[str]]:
    """The listing with made-up values for the columns of FILLED that were not given, and the names of those columns.

    The values depend on the seed, the item_id and the leaf category alone. Prices are log-normal around a median of the leaf's own.
    """
    digest = hashlib.sha256(f"{cfg.seed}/{fields.get('item_id')}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    category = fields.get("category")
    leaf = str(category[-1]) if isinstance(category, list | tuple) and category else ""
    made = {"price": rounded(median_price(leaf) * math.exp(cfg.price_spread * rng.normal())), **_paperwork(cfg, rng)}
    missing = [name for name in FILLED if fields.get(name) is None]
    return {**fields, **{name: made[name] for name in missing}}, missing


def median_price(leaf: str) -> float:
    """Median price of a leaf category in yen: that of the drawn kind, else one between 800 and 8,000 that the name decides."""
    for kind in KINDS.values():
        if kind.category[-1] == leaf:
            return kind.price
    draw = int.from_bytes(hashlib.sha256(leaf.encode()).digest()[:4], "big") / 2**32
    return 800.0 * math.exp(math.log(10) * draw)


def rounded(price: float) -> float:
    """A price as sellers set it: tens of yen, 100 at least."""
    return float(max(100, 10 * round(price / 10)))
