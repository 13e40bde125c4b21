"""Small tables for label: items whose photos are plain shades, and pairs of them."""

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from components import schema
from components.contract import bind, read_params
from components.label.component import LabelSummary, label
from components.label.config import LabelConfig
from components.objects import FolderStore
from components.shards import read_shards, shard_of, write_shards, write_table

NUM_SHARDS = 3
START = datetime(2026, 1, 1, tzinfo=UTC)
STATS = {"brightness": 0.5, "sharpness": -2.0, "contrast": 0.2, "text_share": 0.0}


def config(**changes: Any) -> LabelConfig:
    """The project's own knobs, waiting for nothing."""
    section = read_params()["label"] | {"image_px": 64, "retry_wait_s": 0.0, "max_retries": 2, "show_query": True} | changes
    return bind(LabelConfig, "label", {"label": section})


def shade(level: int, *, exif: bytes = b"") -> bytes:
    """A JPEG of one grey with a darker square in the middle."""
    pixels = np.full((48, 80, 3), level, np.uint8)
    pixels[14:34, 30:50] = level // 2
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=95, exif=exif)
    return sink.getvalue()


class Tables:
    """pairs, impressions, listings and images below `folder`.

    `levels` gives each item's shade (equal levels are the same picture); each pair is (clicked, skipped, split, query), on a page of its
    own, an hour after the one before.
    """

    def __init__(self, folder: Path, levels: dict[str, int], pairs: list[tuple[str, str, str, str | None]], *, exif: bytes = b"") -> None:
        self.folder = folder
        photos = {item: shade(level, exif=exif) for item, level in levels.items()}
        ids = {item: hashlib.sha256(photo).hexdigest() for item, photo in photos.items()}
        self.write("listings", [_listing(item, ids[item]) for item in levels], schema.LISTINGS, "item_id")
        self.write("pairs", [_pair(n, *pair) for n, pair in enumerate(pairs)], schema.PAIRS, "request_id")
        shown = [_impression(n, item, pair) for n, pair in enumerate(pairs) for item in pair[:2]]
        self.write("impressions", shown, schema.IMPRESSIONS, "request_id")
        for index in range(NUM_SHARDS):
            here = {ids[item]: photos[item] for item in levels if shard_of(item, NUM_SHARDS) == index}
            rows = [{"image_id": i, "data": d, "width": 80, "height": 48, "phash": 0, "stats": STATS} for i, d in sorted(here.items())]
            write_table(folder / "images" / f"shard-{index:05d}.parquet", pa.Table.from_pylist(rows, schema.IMAGES), schema.IMAGES)

    def write(self, name: str, rows: list[dict[str, Any]], table: pa.Schema, key: str) -> None:
        write_shards(self.folder / name, pa.Table.from_pylist(rows, table), table, NUM_SHARDS, key=key)

    def label(self, out: Path, cfg: LabelConfig, *, store: FolderStore | None = None, **edges: Any) -> LabelSummary:
        """Runs the stage; its cache lies in `store`, or beside its out."""
        ins = {name: self.folder / name for name in ("pairs", "impressions", "listings", "images")}
        return label(**ins, labels=out, cfg=cfg, store=store or FolderStore(out.with_name(f"{out.name}-cache")), **edges)


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Every label."""
    return read_shards(out).to_pylist()


def bytes_of(out: Path) -> dict[str, bytes]:
    """Every file of an out."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def many(folder: Path, num_pairs: int) -> Tables:
    """A market of that many pairs: in each, the second of two items was clicked."""
    levels = {f"m-{n:03d}": 20 + 200 * n // (2 * num_pairs) for n in range(2 * num_pairs)}
    splits = ("train", "val", "test")
    return Tables(folder, levels, [(f"m-{2 * n + 1:03d}", f"m-{2 * n:03d}", splits[n % 3], "lamp") for n in range(num_pairs)])


def _listing(item: str, image_id: str) -> dict[str, Any]:
    fixed = {"seller_id": None, "product_id": None, "title": item, "title_language": "en", "description": "", "category": ["Home"]}
    more = {"price": 1.0, "currency": "JPY", "status": "on_sale", "created_at": START, "app_version": None, "source": "s", "simulated": []}
    return {"item_id": item, "image_id": image_id, **fixed, **more}


def _pair(number: int, clicked: str, skipped: str, split: str, query: str | None) -> dict[str, Any]:
    page = {"request_id": f"req-{number:03d}", "split": split, "clicked_item": clicked, "skipped_item": skipped}
    return page | {"price_ratio": 1.0, "position_gap": 1, "weight": 1.0}


def _impression(number: int, item: str, pair: tuple[str, str, str, str | None]) -> dict[str, Any]:
    page = {"request_id": f"req-{number:03d}", "ts": START + timedelta(hours=number), "surface": "search", "platform": "web"}
    page |= {"user_id": "u", "query": pair[3], "source_item_id": None, "release_id": "r", "simulated": True}
    return page | {"item_id": item, "position": 0, "price": 1.0, "clicked": item == pair[0], "purchased": False}
