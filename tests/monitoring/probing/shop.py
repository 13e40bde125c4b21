"""A small shop for the prober: photos of one colour each, a bundle over towers of a few nodes, and a real gateway that serves it."""

import base64
import dataclasses
import datetime as dt
import hashlib
import io
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from components import schema
from components.bundle import DRIFT_REFERENCE, GOLDEN, GOLDEN_TITLES, INDEX_FOLDER, MODEL_CARD
from components.calibrator import ANCHORS
from components.contract import bind, read_params
from components.manifest import MANIFEST, write_manifest
from components.neighbours import IndexConfig, build
from components.objects import FolderStore
from components.picture_stats import stats_of
from components.serve.log.rows import TABLES, parquet_of
from components.shards import write_shards, write_table
from components.towers import Towers
from monitoring.probing.asker import client_of
from monitoring.probing.config import ProbingConfig
from monitoring.probing.prober import Probed, probe
from tests.conftest import PROJECT, SMALL, edit_params
from tests.serve.gateway import Running, running
from tests.serve.small_towers import DIM, write_towers

NUM_ITEMS, NUM_GOLDEN, NUM_ANCHORS, PHOTO_PX = 60, 4, 12, 64
LISTED_AT = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def photo(number: int) -> bytes:
    """A JPEG in one colour, so that neither its edges nor a mirror change what it shows."""
    colour = np.random.default_rng(number).integers(20, 236, 3)
    square = np.broadcast_to(colour.astype(np.uint8), (PHOTO_PX, PHOTO_PX, 3))
    Image.fromarray(np.ascontiguousarray(square)).save(sink := io.BytesIO(), "JPEG", quality=95)
    return sink.getvalue()


def image_id_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def item_id(number: int) -> str:
    return f"i-{number:03d}"


def probing(**changes: Any) -> ProbingConfig:
    """`monitor.probing` of params.yaml, in a hurry, with some knobs changed."""
    cfg = bind(ProbingConfig, "probing", read_params(PROJECT / "params.yaml")["monitor"])
    hasty = {"num_upserts": 10, "num_copies": 20, "num_probes": 6, "rows_per_s": 1000.0, "retry_wait_s": 0.01, "timeout_s": 5.0}
    return ProbingConfig.model_validate(cfg.model_dump() | hasty | {"num_anchors": NUM_ANCHORS} | changes)


def write_bundle(folder: Path, seed: int = 0, **facts: Any) -> Path:
    """A bundle of the shop's first NUM_ITEMS items. Another seed is another model."""
    write_towers(folder, seed=seed)
    (folder / MANIFEST).unlink()
    towers = Towers.open(folder, threads=1)
    photos = [photo(number) for number in range(NUM_ITEMS)]
    answers = [towers.embed_picture(data) for data in photos]
    vector_ND, scores = np.stack([vector for vector, _ in answers]), pa.array([score for _, score in answers], pa.float32())
    ids, data = pa.array([image_id_of(one) for one in photos]), pa.array(photos, pa.binary())
    golden = {"image_id": ids, "data": data, "vector": _vectors(vector_ND), "image_score": scores}
    write_table(folder / GOLDEN, pa.table(golden).slice(0, NUM_GOLDEN), schema.golden(DIM))
    titles = ["red mug", "blue shoe"]
    write_table(
        folder / GOLDEN_TITLES, pa.table({"title": titles, "vector": _vectors(towers.embed_titles(titles))}), schema.golden_titles(DIM)
    )
    anchors = {"image_id": ids, "data": data, "target": scores.cast(pa.float64())}
    write_table(folder / ANCHORS, pa.table(anchors).slice(NUM_GOLDEN, NUM_ANCHORS), schema.ANCHORS)
    cfg = bind(IndexConfig, "index", read_params(PROJECT / "params.yaml"))
    names, also = [item_id(number) for number in range(NUM_ITEMS)], {"image_id": ids, "image_score": scores}
    build(folder / INDEX_FOLDER, names, vector_ND, towers.serving.fingerprint, cfg, also)
    write_table(folder / DRIFT_REFERENCE, schema.drift_reference(DIM).empty_table(), schema.drift_reference(DIM))
    (folder / MODEL_CARD).write_text("# A small one\n", encoding="utf-8")
    told = {
        "fingerprint": towers.serving.fingerprint,
        "serving": dataclasses.asdict(towers.serving),
        "data": {},
        "params": {},
        "metrics": {},
    }
    write_manifest(folder, told | {"promote": True, "reasons": []} | facts)
    return folder


def _vectors(vector_ND: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vector_ND.astype(np.float32).ravel()), vector_ND.shape[1])


def write_tables(data: Path, numbers: Sequence[int]) -> None:
    """The listings and photos that a gateway begins with."""
    photos = {number: photo(number) for number in numbers}
    listings = [listing(number, LISTED_AT, title_language="en", source="test", simulated=[]) for number in numbers]
    stats = {number: stats_of(Image.open(io.BytesIO(one))) for number, one in photos.items()}
    images = [
        {"image_id": image_id_of(one), "data": one, "width": PHOTO_PX, "height": PHOTO_PX, "phash": number, "stats": stats[number]}
        for number, one in photos.items()
    ]
    places = [item_id(number) for number in numbers]
    write_shards(data / "listings", pa.Table.from_pylist(listings, schema.LISTINGS), schema.LISTINGS, 1)
    table = pa.Table.from_pylist(images, schema.IMAGES).append_column("item_id", pa.array(places))
    write_shards(data / "images", table, schema.IMAGES, 1)


def listing(number: int, at: dt.datetime, **changes: Any) -> dict[str, Any]:
    """A row of a table of listings."""
    row: dict[str, Any] = {
        "item_id": item_id(number),
        "seller_id": "s-1",
        "title": "red mug",
        "description": "",
        "category": ["home", "mugs"],
    }
    row |= {"price": 100.0, "currency": "JPY", "status": "on_sale", "created_at": at, "updated_at": at}
    return row | {"image_id": image_id_of(photo(number))} | changes


def make_shop(folder: Path, numbers: Sequence[int] = range(NUM_ITEMS)) -> Path:
    """A workspace with the bundle, and a gateway's first catalogue of the items with those numbers."""
    folder.mkdir(parents=True)
    shutil.copy(PROJECT / "params.yaml", folder)
    edit_params(folder, {"serve": SMALL["serve"]})
    write_bundle(folder / "bundle")
    write_tables(folder / "data", numbers)
    return folder


@dataclasses.dataclass
class Shop:
    """A gateway that answers, and its store. It is probed at `at`, ahead of the real time: what was just written is then old enough."""

    workspace: Path
    state: Path
    live: Running
    at: dt.datetime = dataclasses.field(default_factory=lambda: dt.datetime.now(dt.UTC).replace(minute=7) + 2 * HOUR)

    @property
    def store(self) -> FolderStore:
        """The gateway's."""
        return FolderStore(self.state / "store")

    @property
    def bundle(self) -> Path:
        """Of the release that answers."""
        return self.workspace / "bundle"

    def upsert(self, *numbers: int, shows: int | None = None) -> None:
        """Writes items with their photos, or another item's, as a shop does, and waits until the log of it is in the store."""
        before = self.num_logged()
        for number in numbers:
            fields = {"title": "red mug", "category": ["home", "mugs"], "price": 100.0, "currency": "JPY"}
            body = fields | {"picture_base64": base64.b64encode(photo(number if shows is None else shows)).decode()}
            self.live.client.put(f"/v1/items/{item_id(number)}", json=body).raise_for_status()
        self.until_logged(before + len(numbers))

    def delete(self, *numbers: int) -> None:
        """Deletes items, and waits until the log of it is in the store."""
        before = self.num_logged()
        for number in numbers:
            self.live.client.delete(f"/v1/items/{item_id(number)}").raise_for_status()
        self.until_logged(before + len(numbers))

    def num_logged(self) -> int:
        """Rows of listings in the store."""
        keys = [one.key for one in self.store.stored("events/listings")]
        return sum(pq.read_metadata(pa.BufferReader(self.store.get(key) or b"")).num_rows for key in keys)

    def until_logged(self, num_rows: int) -> None:
        """Returns once so many rows of listings are in the store."""
        deadline = time.monotonic() + 30
        while self.num_logged() < num_rows:
            assert time.monotonic() < deadline, "the log did not come to the store"
            time.sleep(0.05)

    def lose(self, *numbers: int) -> None:
        """Items that are in the log, with their photos in the store, and that the index never got."""
        now = dt.datetime.now(dt.UTC)
        rows = [listing(number, now) for number in numbers]
        self.store.put(f"events/listings/dt={now:%Y-%m-%d}/lost.parquet", parquet_of(pa.Table.from_pylist(rows, TABLES["listings"])))
        for number in numbers:
            data = photo(number)
            self.store.put(f"pictures/{image_id_of(data)[:2]}/{image_id_of(data)}", data)

    def probe(self, cfg: ProbingConfig | None = None, key: str | None = None, **edges: Any) -> Probed:
        """A probing of the gateway, or of the address of the config."""
        cfg = cfg or probing(address=self.live.url)
        with client_of(cfg, key) as client:
            return probe(self.bundle, self.store, cfg, client, now=lambda: self.at, **edges)


@contextmanager
def serving(workspace: Path, state: Path, changes: dict[str, Any] | None = None) -> Iterator[Shop]:
    """The shop's gateway until the block ends. Its log comes to the store at once."""
    told = {"pictures": {"workers": 1}, **(changes or {}), "log": {"flush_s": 0.1, **(changes or {}).get("log", {})}}
    with running(workspace, state, told) as live:
        yield Shop(workspace, state, live)


def value_of(probed: Probed, kind: str) -> np.ndarray:
    """(rows,) the values of a kind of question."""
    values: np.ndarray = probed.rows.filter(pc.equal(probed.rows["kind"], kind))["value"].to_numpy()
    return values


def names_of(probed: Probed, kind: str) -> list[str]:
    """The names of a kind of question."""
    names: list[str] = probed.rows.filter(pc.equal(probed.rows["kind"], kind))["name"].to_pylist()
    return names


def asked_of(client: httpx.Client, **headers: str) -> httpx.Response:
    """The answer to a picture, asked with those headers."""
    return client.post("/v1/similar", json={"picture_base64": base64.b64encode(photo(3)).decode()}, headers=headers)
