"""A small shop's own tables for tests: rows as that shop would write them, files of them, and a place to ingest into."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import bind
from components.ingest.account import Account
from components.ingest.component import ingest
from components.ingest.config import IngestConfig
from components.ingest.market import MarketConfig
from components.ingest.snapshot import Snapshot
from components.objects import FolderStore
from components.shards import read_shards
from flows.pin_tables import tables_of
from tests.conftest import merge
from tests.data.events_shop import OUTS, PARAMS, at, photo

CLOCK = datetime(2026, 4, 1, tzinfo=UTC)
COLUMNS = {
    "item_id": "id",
    "image": "photo",
    "title": "name",
    "category": ["c0_name", "c1_name"],
    "seller_id": "seller",
    "product_id": None,
    "source": None,
    "created_at": "created",
}


def listing(number, **changes):
    """Item NUMBER, as the shop has it: ids are numbers, its photo is photos/NUMBER.jpg."""
    made = {
        "id": number,
        "photo": f"photos/{number}.jpg",
        "name": f"Shirt {number}",
        "c0_name": "Fashion",
        "c1_name": ("Shirts", "Hats")[number % 2],
        "seller": number % 3,
        "price": 900 + number,
        "status": "on_sale",
        "created": at(1, number / 10),
    }
    return made | changes


def table(rows, **kinds):
    """The rows as a table; types are those of the values unless named."""
    made = pa.Table.from_pylist(rows)
    for name, kind in kinds.items():
        made = made.set_column(made.column_names.index(name), name, pa.array([row[name] for row in rows], kind))
    return made


def put(root, key, rows, **options):
    """Writes rows (or a table) to a parquet file below the root, and gives the file."""
    path = Path(root) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows if isinstance(rows, pa.Table) else table(rows), path, **options)
    return path


def put_photos(root, numbers):
    (Path(root) / "photos").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (Path(root) / "photos" / f"{number}.jpg").write_bytes(photo(number))


def put_shop(root, items=range(6)):
    """A table of some items in one file, and their photos."""
    put(root, "listings/part-0.parquet", [listing(n) for n in items])
    put_photos(root, items)


class Shop:
    """Tables in `tables`, a snapshot of them, and outs in a folder of their own per run. `url` is where the tables are read from."""

    def __init__(self, folder, url=None, **knobs):
        self.folder, self.tables = folder, folder / "tables"
        self.tables.mkdir(exist_ok=True)
        self.url = url or str(self.tables)
        self.market = bind(MarketConfig, "market", PARAMS).model_copy(update={"num_users": 5, "num_requests": 20})
        self.params = {"ingest": _copied(PARAMS["ingest"])}
        self.set(source="parquet", path=self.url, num_shards=2, max_quarantine_share=1.0, max_impression_quarantine_share=1.0)
        self.set(columns=COLUMNS)
        self.set(**knobs)
        self.store = FolderStore(folder / "cache")
        self.downloads = folder / "downloads"

    def set(self, **knobs):
        """Sets leaves of `ingest`."""
        for name in ("words", "fixed"):  # their keys are the shop's own
            for table, held in knobs.get("tables", {}).items():
                if isinstance(held, dict) and name in held:
                    self.params["ingest"]["tables"][table][name] = held.pop(name)
        merge(self.params["ingest"], knobs)
        self.cfg = bind(IngestConfig, "ingest", self.params)
        return self

    def pin(self, as_of=None, clock=CLOCK):
        """Takes the snapshot."""
        source, moment = tables_of(self.url, self.cfg, as_of, clock, self.market.now, self.downloads)
        self.snapshot = Snapshot(source=source, as_of=moment, stable_release=None)
        (self.folder / "snapshot.json").write_text(self.snapshot.model_dump_json())
        return self

    def run(self, name="run"):
        """The summary; outs lie in self.folder / name. Every account must balance."""
        self.out = self.folder / name
        self.out.mkdir()
        outs = {one: self.out / one for one in OUTS} | {"market_sheet": self.out / "market.png"}
        edges = {"store": self.store, "downloads": self.downloads, "kept": self.folder / "kept"}
        summary = ingest(self.folder / "snapshot.json", **outs, cfg=self.cfg, market=self.market, **edges)
        for table_name, account in summary.accounts.items():
            assert Account(**account).balanced, (table_name, account)
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


def logged(shop, shown, clicks=()):
    """Puts a log into the shop and maps it; its items are numbers, as those of listings."""
    put(shop.tables, "log/shown.parquet", shown)
    if clicks:
        put(shop.tables, "log/clicks.parquet", list(clicks))
    own = {"impressions": {"at": "log/shown.parquet"}, "clicks": {"at": "log/clicks.parquet" if clicks else None}}
    return shop.set(tables=own)


def number_of(row):
    """A row of events_shop about the item with that number."""
    return {**row, "item_id": int(row["item_id"].removeprefix("i-"))}


def done(shop):
    """The impressions that something was done on."""
    return {key: ("bought" if one["purchased"] else "clicked") for key, one in shop.shown().items() if one["clicked"] or one["purchased"]}


def _copied(tree):
    return {key: _copied(value) for key, value in tree.items()} if isinstance(tree, dict) else tree
