"""A small shop's events for tests: rows of the four tables, files of them, and a place to ingest into."""

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from components import schema
from components.contract import bind, read_params
from components.ingest.account import Account
from components.ingest.component import ingest
from components.ingest.config import IngestConfig
from components.ingest.market import MarketConfig
from components.ingest.snapshot import Snapshot
from components.objects import FolderStore
from components.shards import read_shards
from flows.pins import events_of

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")
DAY1 = datetime(2026, 3, 1, tzinfo=UTC)
CLOCK = datetime(2026, 4, 1, tzinfo=UTC)
OUTS = ("listings", "images", "impressions", "quarantine", "truth")


def at(day=1, hour=12.0):
    """An hour of a day of March 2026."""
    return DAY1 + timedelta(days=day - 1, hours=hour)


def photo(number):
    """A drawn photo; each number is another one."""
    picture = Image.new("RGB", (48, 40), (40 * number % 256, 120, 200 - 9 * number % 200))
    ImageDraw.Draw(picture).ellipse((5 + number % 20, 5, 30, 30), fill=(250, 30 * number % 256, 90))
    picture.save(sink := io.BytesIO(), "JPEG")
    return sink.getvalue()


def digest(number):
    return hashlib.sha256(photo(number)).hexdigest()


def listing(number, when=None, **changes):
    """An upsert of item i-NUMBER, which shows photo NUMBER."""
    made = {
        "item_id": f"i-{number}",
        "seller_id": f"s-{number % 3}",
        "title": f"Shirt {number}",
        "category": ["Fashion", ("Shirts", "Hats")[number % 2]],
        "price": 900.0 + number,
        "currency": "JPY",
        "status": "on_sale",
        "created_at": at(1, 0),
        "image_id": digest(number),
        "updated_at": when or at(1, 1),
    }
    return made | changes


def image(number, **changes):
    return {"image_id": digest(number), "data": photo(number)} | changes


def impression(request, position, item, when=None, **changes):
    made = {
        "request_id": f"r-{request}",
        "ts": when or at(2),
        "surface": "search",
        "platform": "web",
        "user_id": f"u-{request}",
        "query": "shirt",
        "source_item_id": None,
        "item_id": f"i-{item}",
        "position": position,
        "price": 900.0 + item,
        "release_id": "r1",
    }
    return made | changes


def click(request, item, when=None, **changes):
    return {"request_id": f"r-{request}", "item_id": f"i-{item}", "ts": when or at(2, 13), "action": "click"} | changes


def page(request, items, when=None, **changes):
    """Impressions of one page, the items from its top."""
    return [impression(request, position, item, when, **changes) for position, item in enumerate(items)]


def put(root, table, day, rows, name="part-0", columns=None):
    """Writes rows to TABLE/dt=DAY/NAME.parquet and returns the file."""
    path = Path(root) / table / f"dt={at(day):%Y-%m-%d}" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = columns or [one for one in schema.EVENTS[table].names if any(one in row for row in rows)]
    kind = pa.schema([schema.EVENTS[table].field(one).with_nullable(True) for one in names])
    pq.write_table(pa.Table.from_pylist([{one: row.get(one) for one in names} for row in rows], kind), path)
    return path


def put_shop(root, items=range(6), day=1):
    """Listings and photos of some items."""
    put(root, "listings", day, [listing(n) for n in items])
    put(root, "images", day, [image(n) for n in items])


class Shop:
    """Events in `events`, a snapshot of them, and outs in a folder of their own per run."""

    def __init__(self, folder, **knobs):
        self.folder, self.events = folder, folder / "events"
        self.events.mkdir()
        self.market = bind(MarketConfig, "market", PARAMS)
        open_limits = {"max_quarantine_share": 1.0, "max_impression_quarantine_share": 1.0}
        named = {"source": "events", "path": str(self.events), "num_shards": 2}
        self.cfg = bind(IngestConfig, "ingest", PARAMS).model_copy(update={**named, **open_limits, **knobs})
        self.store = FolderStore(folder / "cache")

    def pin(self, as_of=None, clock=CLOCK):
        """Takes the snapshot."""
        source, moment = events_of(str(self.events), self.cfg, as_of, clock)
        self.snapshot = Snapshot(source=source, as_of=moment, stable_release=None)
        (self.folder / "snapshot.json").write_text(self.snapshot.model_dump_json())
        return self

    def run(self, name="run"):
        """The summary; outs lie in self.folder / name. Every account must balance."""
        self.out = self.folder / name
        self.out.mkdir()
        outs = {one: self.out / one for one in OUTS} | {"market_sheet": self.out / "market.png"}
        summary = ingest(
            self.folder / "snapshot.json", **outs, cfg=self.cfg, market=self.market, store=self.store, kept=self.folder / "kept"
        )
        for table, account in summary.accounts.items():
            assert Account(**account).balanced, (table, account)
        return summary

    def take(self, name="run", **pin):
        return self.pin(**pin).run(name)

    def table(self, name):
        return read_shards(self.out / name).to_pylist()

    def items(self):
        return {one["item_id"]: one for one in self.table("listings")}

    def shown(self):
        return {(one["request_id"], one["item_id"]): one for one in self.table("impressions")}

    def quarantined(self, name):
        return pq.read_table(self.out / "quarantine" / f"{name}.parquet").to_pylist()

    def reasons(self, name):
        return sorted((one["key"], one["reason"]) for one in self.quarantined(name))
