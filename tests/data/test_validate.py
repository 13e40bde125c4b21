"""Sound data passes every gate, also of a stranger's small folder; each fault stops the run and says what to do."""

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import schema
from components.contract import bind, read_params
from components.errors import BadData
from components.shards import shard_paths, write_shards, write_table
from components.validate.component import validate
from components.validate.gates import (
    NEXT_STEP,
    ValidateConfig,
    images_gates,
    impressions_gates,
    listings_gates,
    quarantine_gates,
    schema_gates,
)

ROOT = Path(__file__).parents[2]
NOW = datetime(2025, 6, 1, tzinfo=UTC)
NUM_LISTINGS, NUM_PAGES, PAGE = 40, 80, 15


def config(**changes):
    return bind(ValidateConfig, "validate", {"validate": read_params(ROOT / "params.yaml")["validate"] | changes})


def listing(n):
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


def picture(n):
    return {
        "item_id": f"m-{n:03d}",
        "image_id": f"{n:064x}",
        "data": b"not looked at",
        "width": 256,
        "height": 192,
        "phash": (n + 1) * 0x9E3779B97F4A7C15 % 2**64,
        "stats": {"brightness": 0.6, "sharpness": 2.5, "contrast": 0.2, "text_share": 0.0},
    }


def impression(request, position):
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

    def __init__(self):
        self.listings = [listing(n) for n in range(NUM_LISTINGS)]
        self.images = [picture(n) for n in range(NUM_LISTINGS)]
        self.impressions = [impression(request, position) for request in range(NUM_PAGES) for position in range(PAGE)]
        self.refused = {"listings": 0, "images": 0, "impressions": 0}

    def write(self, folder):
        keyed = pa.schema([*schema.IMAGES, pa.field("item_id", pa.string())])
        write_shards(folder / "listings", pa.Table.from_pylist(self.listings, schema.LISTINGS), schema.LISTINGS, 2)
        write_shards(folder / "images", pa.Table.from_pylist(self.images, keyed), schema.IMAGES, 2)
        seen = pa.Table.from_pylist(self.impressions, schema.IMPRESSIONS)
        write_shards(folder / "impressions", seen, schema.IMPRESSIONS, 2, key="request_id")
        for name, count in self.refused.items():
            row = {"key": "k", "reason": "title_missing", "detail": "", "row": "{}", "data": None}
            write_table(
                folder / "quarantine" / f"{name}.parquet", pa.Table.from_pylist([row] * count, schema.QUARANTINE), schema.QUARANTINE
            )
        return folder

    def validated(self, folder, **changes):
        return validated(self.write(folder), **changes)


def validated(folder, **changes):
    places = [folder / name for name in ("listings", "images", "impressions", "quarantine", "validation.json")]
    summary = validate(*places, cfg=config(**changes), data_docs=folder / "data_docs")
    return summary, json.loads((folder / "validation.json").read_text(encoding="utf-8"))


def set_all(rows, share=1.0, **values):
    for row in rows[: round(share * len(rows))]:
        row.update(values)


def test_a_sound_shop_passes_every_gate_and_tries_no_connection(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: tried.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **options: tried.append(address) or [])
    summary, report = Shop().validated(tmp_path)
    assert all(gate["success"] and gate["checked"] for suite in report.values() for gate in suite.values())
    assert report.keys() == {"listings", "images", "impressions", "quarantine"}
    assert summary.gates_checked == sum(map(len, report.values()))
    assert summary.rows_in == summary.rows_out == 2 * NUM_LISTINGS + NUM_PAGES * PAGE
    assert report["impressions"]["click_through"]["observed"] == pytest.approx(1 / PAGE, abs=1e-6)
    assert report["listings"]["newest_age_days"]["observed"] == 0
    assert not tried


def test_the_report_is_the_same_in_every_run_and_the_data_docs_are_web_pages(tmp_path):
    Shop().validated(tmp_path)
    before = (tmp_path / "validation.json").read_bytes()
    validated(tmp_path)
    assert (tmp_path / "validation.json").read_bytes() == before
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "data_docs").rglob("*.html")]
    assert sum("share of impressions that were clicked" in page for page in pages) >= 1
    assert len(list((tmp_path / "data_docs" / "validations").rglob("*.html"))) == 7


def repeated_listing(shop):
    shop.listings.append(shop.listings[3] | {"price": 9.0})


def repeated_picture(shop):
    shop.images.append(shop.images[3])


def repeated_slot(shop):
    shop.impressions.append(shop.impressions[5])


def few_listings(shop):
    del shop.listings[5:]


def no_title(shop):
    shop.listings[4]["title"] = ""


def no_category(shop):
    shop.listings[4]["category"] = []


def endless_price(shop):
    shop.listings[4]["price"] = float("inf")


def other_status(shop):
    shop.listings[4]["status"] = "lent"


def picture_gone(shop):
    del shop.images[4]


def one_placeholder(shop):
    set_all(shop.images, 0.7, phash=99)


def blank_pictures(shop):
    set_all(shop.images, 0.2, stats={"brightness": 1.0, "sharpness": -4.0, "contrast": 0.001, "text_share": 0.0})


def brightness_beyond_one(shop):
    set_all(shop.images, 0.1, stats={"brightness": 254.0, "sharpness": 2.0, "contrast": 0.2, "text_share": 0.0})


def old_listings(shop):
    for row in shop.listings:
        row["created_at"] -= timedelta(days=400)


def old_log(shop):
    set_all(shop.impressions, ts=NOW - timedelta(days=60))


def search_without_query(shop):
    set_all(shop.impressions, query=None, source_item_id=None)


def items_of_another_shop(shop):
    set_all(shop.impressions, 0.1, item_id="m-999")


def source_items_of_another_shop(shop):
    set_all([row for row in shop.impressions if row["surface"] == "similar"], source_item_id="m-999")


def lost_clicks(shop):
    set_all(shop.impressions, clicked=False)


def nothing_but_clicks(shop):
    set_all(shop.impressions, clicked=True)


def much_refused(shop):
    shop.refused["images"] = NUM_LISTINGS


FAULTS = [
    (repeated_listing, "listings.item_id_unique", "repeated-ids", "First: m-003."),
    (repeated_picture, "images.image_id_unique", "repeated-ids", f"First: {3:064x}"),
    (repeated_slot, "impressions.slot_unique", "repeated-ids", "First: req-0000."),
    (few_listings, "listings.rows", "too-few-listings", ": 5, limit at least 20"),
    (no_title, "listings.title", "listing-fields", "First: m-004"),
    (no_category, "listings.category", "listing-fields", "First: m-004"),
    (endless_price, "listings.price", "listing-fields", "First: m-004"),
    (other_status, "listings.status", "listing-fields", "First: m-004"),
    (picture_gone, "listings.picture", "missing-pictures", "First: m-004"),
    (one_placeholder, "listings.near_duplicate_share", "near-duplicate-pictures", ": 0.675, limit at most 0.5"),
    (blank_pictures, "images.near_blank_share", "near-blank-pictures", ": 0.2, limit at most 0.05"),
    (brightness_beyond_one, "images.brightness", "picture-fields", ": 0.1, limit at most 0"),
    (old_listings, "listings.newest_age_days", "stale-data", ": 400, limit -14 to 180"),
    (old_log, "listings.newest_age_days", "stale-data", ": -60, limit -14 to 180"),
    (search_without_query, "impressions.asked", "impression-fields", ": 1, limit at most 0"),
    (items_of_another_shop, "impressions.unknown_item_share", "unknown-items", ": 0.1, limit at most 0.01"),
    (source_items_of_another_shop, "impressions.unknown_item_share", "unknown-items", ": 0.25, limit at most 0.01"),
    (lost_clicks, "impressions.click_through", "click-through", ": 0, limit 0.001 to 0.6"),
    (nothing_but_clicks, "impressions.click_through", "click-through", ": 1, limit 0.001 to 0.6"),
    (much_refused, "quarantine.images_share", "too-much-quarantined", ": 0.5, limit at most 0.2"),
]


@pytest.mark.parametrize(("damage", "gate", "anchor", "found"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_stops_the_run_and_says_which_gate_what_was_found_and_where_to_read_on(tmp_path, damage, gate, anchor, found):
    shop = Shop()
    damage(shop)
    with pytest.raises(BadData) as stopped:
        shop.validated(tmp_path)
    message = str(stopped.value)
    assert f"  {gate} (" in message
    assert found in message
    assert f"docs/runbook.md#{anchor}" in message
    assert NEXT_STEP[anchor] in message
    assert not (tmp_path / "validation.json").exists()
    assert (tmp_path / "data_docs" / "index.html").exists()


def test_every_failed_gate_is_listed(tmp_path):
    shop = Shop()
    no_title(shop)
    lost_clicks(shop)
    with pytest.raises(BadData, match=r"(?s)2 of 34 gates .*listings\.title .*impressions\.click_through "):
        shop.validated(tmp_path)


def test_a_column_of_another_type_stops_the_run_before_any_other_gate(tmp_path):
    folder = Shop().write(tmp_path)
    path = shard_paths(folder / "listings")[1]
    table = pq.read_table(path)
    pq.write_table(table.set_column(7, "price", table["price"].cast(pa.string())).drop_columns(["title"]), path)
    with pytest.raises(BadData, match=r"(?s)1 of 3 gates .*listings\.types .*First: price, title\."):
        validated(folder)


def test_a_folder_of_photos_without_sellers_clicks_or_a_category_tree_passes(tmp_path):
    shop = Shop()
    set_all(shop.listings, seller_id=None, category=["Photos"], source="folder", simulated=["price"])
    shop.impressions = []
    summary, report = shop.validated(tmp_path)
    assert summary.gates_not_checked == 2
    assert report["impressions"]["click_through"]["why"].startswith("0 impressions")
    assert report["listings"]["newest_age_days"]["why"] == "no impression runs by the clock of the listings"
    assert all(gate["success"] for suite in report.values() for gate in suite.values())


def test_too_short_a_log_decides_nothing_about_clicks(tmp_path):
    shop = Shop()
    lost_clicks(shop)
    _, report = shop.validated(tmp_path, min_impressions=NUM_PAGES * PAGE + 1)
    assert report["impressions"]["click_through"] == {
        "checked": False,
        "limit": {"max": 0.6, "min": 0.001},
        "measure": "share of impressions that were clicked",
        "observed": 0.0,
        "success": True,
        "why": "1200 impressions, validate.min_impressions is 1201",
    }


@pytest.mark.parametrize(
    ("made_up", "clicks_simulated", "age_days"), [(True, True, 4000), (False, False, 4000), (True, False, None), (False, True, None)]
)
def test_listings_are_only_as_old_as_a_clock_of_their_own_kind_says(tmp_path, made_up, clicks_simulated, age_days):
    shop = Shop()
    set_all(shop.listings, source="folder", simulated=["created_at"] if made_up else [], created_at=NOW - timedelta(days=4000))
    set_all(shop.impressions, simulated=clicks_simulated)
    _, report = shop.validated(tmp_path, max_listing_age_days=5000.0)
    assert report["listings"]["newest_age_days"]["observed"] == age_days


def test_impressions_of_people_set_the_clock_where_there_are_any(tmp_path):
    shop = Shop()
    set_all(shop.listings, source="events", created_at=NOW - timedelta(days=12))
    set_all(shop.impressions, 0.5, simulated=False, ts=NOW - timedelta(days=10))
    _, report = shop.validated(tmp_path)
    assert report["listings"]["newest_age_days"]["observed"] == 2


def test_every_link_leads_to_a_section_of_the_runbook():
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    cfg = config()
    gates = [*schema_gates(), *listings_gates(cfg, ""), *images_gates(cfg), *impressions_gates(cfg, 0), *quarantine_gates(cfg)]
    assert {gate.anchor for gate in gates} == NEXT_STEP.keys()
    code = [path.read_text(encoding="utf-8") for stage in ("split", "pairs") for path in (ROOT / "components" / stage).glob("*.py")]
    linked = {link for text in code for link in re.findall(r"runbook\.md#([a-z-]+)", text)}
    assert linked == {"too-few-groups", "no-pairs"}
    assert NEXT_STEP.keys() | linked <= anchors
