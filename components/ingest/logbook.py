"""The simulated market's days as files of events: TABLE/dt=YYYY-MM-DD/part-N.parquet, each a function of the day alone."""

import datetime as dt
import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import schema
from components.ingest.broken import broken
from components.ingest.days import Change, MarketDays
from components.ingest.drawing.photo import encode, take
from components.ingest.rows import RawListing

PHOTOS_A_FILE = 4000
CLICK_S, PURCHASE_S = 40.0, 3600.0  # mean delays of a click after the page, and of buying after the click
LATEST_CLICK_S, LATEST_PURCHASE_S = 7200.0, 72_000.0  # so that what a day's pages lead to is logged on that day or the next
SHIPPING_S = 1800.0  # longest delay between a click and its place in the log
_CLICK = 23

Written = tuple[str, bytes]
"""A file's name in the source, and its bytes."""


class Logbook:
    """Writes down one day after the other. Clicks that come after midnight are logged on the next day."""

    def __init__(self, market: MarketDays) -> None:
        self.market = market
        self._later = schema.EVENTS["clicks"].empty_table()

    def day(self, day: int, *, to_keep: bool) -> Iterator[Written]:
        """The day's files, photos before the listings that show them and pages before their clicks; none where it is not `to_keep`,
        which costs no drawing."""
        changes, shown = self.market.next_day(day)
        clicks, self._later = self._clicks(day, shown)
        if to_keep:
            yield from self._photos_and_listings(day, changes)
            served = shown.select([name for name in schema.EVENTS["impressions"].names if name not in ("clicked", "purchased")])
            yield self._named("impressions", day, 0, served)
            yield self._named("clicks", day, 0, clicks)

    def _named(self, table: str, day: int, part: int, rows: pa.Table) -> Written:
        wanted = schema.EVENTS[table]
        rows = rows.cast(pa.schema([wanted.field(name) for name in rows.column_names]))
        pq.write_table(rows, sink := pa.BufferOutputStream(), compression="zstd")
        return f"{table}/dt={self.market.midnight(day):%Y-%m-%d}/part-{part:05d}.parquet", sink.getvalue().to_pybytes()

    def _photos_and_listings(self, day: int, changes: list[Change]) -> Iterator[Written]:
        rows: list[dict[str, object]] = []
        for part, start in enumerate(range(0, max(len(changes), 1), PHOTOS_A_FILE)):
            photos: dict[str, bytes] = {}
            rows += [self._row(change, photos) for change in changes[start : start + PHOTOS_A_FILE]]
            images = [{"image_id": image_id, "data": photos[image_id]} for image_id in sorted(photos)]
            yield self._named("images", day, part, pa.Table.from_pylist(images, schema.EVENTS["images"]))
        yield self._named("listings", day, 0, pa.Table.from_pylist(rows, schema.EVENTS["listings"]))

    def _row(self, change: Change, photos: dict[str, bytes]) -> dict[str, object]:
        """The row to upsert; a photo that is new is added to `photos`."""
        raw = self._sent(change)
        image_id = hashlib.sha256(change.offer.item_id.encode() if raw.picture is None else raw.picture).hexdigest()
        if change.new_photo and raw.picture is not None:
            photos[image_id] = raw.picture
        row = {name: raw.fields.get(name) for name in schema.EVENTS["listings"].names}
        return row | {"created_at": _time(raw.fields["created_at"]), "image_id": image_id, "updated_at": change.at}

    def _sent(self, change: Change) -> RawListing:
        """The listing with its photo, as the seller sent it: some are broken on purpose when they appear."""
        raw = RawListing(change.fields, encode(take(change.photo), change.photo.jpeg_quality), "")
        way = self.market.way_of(change.offer) if change.appears else None
        return broken(raw, way, "") if way else raw

    def _clicks(self, day: int, shown: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The clicks to log on the day, yesterday's late ones included, and those to log on the next."""
        made = _followed(shown, np.random.default_rng([self.market.cfg.seed, _CLICK, day]))
        logged_us = pc.add(made["ts"].cast(pa.int64()), made["shipped_us"])
        midnight_us = round(self.market.midnight(day + 1).timestamp() * 1e6)
        made, is_late = made.drop_columns("shipped_us"), pc.greater_equal(logged_us, midnight_us)
        today = pa.concat_tables([self._later, made.filter(pc.invert(is_late))])
        return today.sort_by([(name, "ascending") for name in ("ts", "request_id", "item_id", "action")]), made.filter(is_late)


def _time(value: object) -> dt.datetime:
    return dt.datetime.fromisoformat(str(value))


def _followed(shown: pa.Table, rng: np.random.Generator) -> pa.Table:
    """A row a click and a purchase, a little after the impression and after the click; `shipped_us` later they reach the log."""
    clicked, bought = shown["clicked"].to_numpy(), shown["purchased"].to_numpy()
    click_us = _after(shown["ts"].cast(pa.int64()).to_numpy(), CLICK_S, LATEST_CLICK_S, rng)
    buy_us = _after(click_us, PURCHASE_S, LATEST_PURCHASE_S, rng)
    rows = np.concatenate([np.flatnonzero(clicked), np.flatnonzero(bought)])
    times = np.concatenate([click_us[clicked], buy_us[bought]])
    actions = ["click"] * int(clicked.sum()) + ["purchase"] * int(bought.sum())
    wanted = schema.EVENTS["clicks"]
    columns = {name: shown[name].take(pa.array(rows)) for name in ("request_id", "item_id")}
    columns |= {"ts": pa.array(times, wanted.field("ts").type), "action": pa.array(actions, pa.string())}
    shipped = pa.array((rng.random(len(rows)) * SHIPPING_S * 1e6).astype(np.int64))
    return pa.table(columns, schema=wanted).append_column("shipped_us", shipped)


def _after(times_us: np.ndarray, mean_s: float, latest_s: float, rng: np.random.Generator) -> np.ndarray:
    delay_s = np.minimum(1.0 + rng.exponential(mean_s, size=len(times_us)), latest_s)
    return np.asarray(times_us + (delay_s * 1e6).astype(np.int64))
