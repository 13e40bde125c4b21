"""Rows of a sound shop, for tests to damage before they are written and validated."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from components import schema
from components.contract import bind, read_params, write_json
from components.expectations.findings import Finding
from components.expectations.suites import open_context
from components.shards import write_shards, write_table
from components.validate.component import ValidateSummary, inspected, validate
from components.validate.config import ValidateConfig
from tests.conftest import PROJECT

NOW = datetime(2025, 6, 1, tzinfo=UTC)
NUM_LISTINGS, NUM_PAGES, PAGE = 40, 80, 15


def config(**changes: Any) -> ValidateConfig:
    """The project's own knobs, with changes."""
    return bind(ValidateConfig, "validate", {"validate": read_params(PROJECT / "params.yaml")["validate"] | changes})


def listing(n: int) -> dict[str, Any]:
    """A sound listing."""
    return {
        "item_id": f"m-{n:03d}",
        "seller_id": f"s-{n % 7}",
        "product_id": None,
        "title": "赤い靴" if n % 2 else "Red shoes",
        "title_language": "ja" if n % 2 else "en",
        "description": "",
        "category": ["Footwear", "Shoes"],
        "price": 500.0 + n,
        "currency": "JPY",
        "status": "on_sale",
        "created_at": NOW - timedelta(days=n),
        "app_version": None,
        "image_id": f"{n:064x}",
        "source": "simulate",
        "simulated": [],
    }


def picture(n: int) -> dict[str, Any]:
    """A sound picture, with the item that shows it."""
    return {
        "item_id": f"m-{n:03d}",
        "image_id": f"{n:064x}",
        "data": b"not looked at",
        "width": 256,
        "height": 192,
        "phash": (n + 1) * 0x9E3779B97F4A7C15 % 2**64,
        "stats": {"brightness": 0.6, "sharpness": 2.5, "contrast": 0.2, "text_share": 0.0},
    }


def impression(request: int, position: int) -> dict[str, Any]:
    """A sound impression."""
    item = (request * 7 + position) % NUM_LISTINGS
    searched = request % 4 > 0
    return {
        "request_id": f"req-{request:04d}",
        "ts": NOW,
        "surface": "search" if searched else "similar",
        "platform": ("web", "ios", "android")[request % 3],
        "user_id": f"u-{request % 9}",
        "query": "shoes" if searched else None,
        "source_item_id": None if searched else "m-000",
        "item_id": f"m-{item:03d}",
        "position": position,
        "price": 500.0 + item,
        "clicked": position == request % PAGE,
        "purchased": False,
        "release_id": "simulated",
        "simulated": True,
    }


class Shop:
    """Rows of a sound shop, for a test to damage before they are written and validated in a folder."""

    def __init__(self) -> None:
        self.listings = [listing(n) for n in range(NUM_LISTINGS)]
        self.images = [picture(n) for n in range(NUM_LISTINGS)]
        self.impressions = [impression(request, position) for request in range(NUM_PAGES) for position in range(PAGE)]
        self.refused = {"listings": 0, "images": 0, "impressions": 0}
        self.history: list[dict[str, Any]] = []

    def write(self, folder: Path) -> Path:
        """Writes the tables, a snapshot of NOW and an empty history into the folder."""
        keyed = pa.schema([*schema.IMAGES, pa.field("item_id", pa.string())])
        write_shards(folder / "listings", pa.Table.from_pylist(self.listings, schema.LISTINGS), schema.LISTINGS, 2)
        write_shards(folder / "images", pa.Table.from_pylist(self.images, keyed), schema.IMAGES, 2)
        seen = pa.Table.from_pylist(self.impressions, schema.IMPRESSIONS)
        write_shards(folder / "impressions", seen, schema.IMPRESSIONS, 2, key="request_id")
        for name, count in self.refused.items():
            rows = [{"key": "k", "reason": "title_missing", "detail": "", "row": "{}", "data": None}] * count
            write_table(folder / "quarantine" / f"{name}.parquet", pa.Table.from_pylist(rows, schema.QUARANTINE), schema.QUARANTINE)
        write_json(folder / "snapshot.json", {"as_of": NOW.isoformat(), "source": {"kind": "simulate"}, "stable_release": None})
        write_json(folder / "history.json", self.history)
        return folder

    def validated(self, folder: Path, **changes: Any) -> tuple[ValidateSummary, dict[str, Any]]:
        """Summary and report, after writing."""
        return validated(self.write(folder), **changes)


INS = ("listings", "images", "impressions", "quarantine", "snapshot.json", "history.json")
OUTS = ("validation.json", "profile.json", "validate.html")


def validated(folder: Path, **changes: Any) -> tuple[ValidateSummary, dict[str, Any]]:
    """Summary and report of the tables in the folder; what is kept either way lies in its `kept`."""
    summary = validate(*(folder / name for name in (*INS, *OUTS)), cfg=config(**changes), kept=folder / "kept")
    return summary, json.loads((folder / "validation.json").read_text(encoding="utf-8"))


def findings_on(folder: Path, **changes: Any) -> list[Finding]:
    """The findings on the tables in the folder; nothing is written."""
    return inspected({name.split(".")[0]: folder / name for name in INS}, config(**changes), open_context(None))


def set_all(rows: list[dict[str, Any]], share: float = 1.0, **values: Any) -> None:
    """Changes the first rows."""
    for row in rows[: round(share * len(rows))]:
        row.update(values)
