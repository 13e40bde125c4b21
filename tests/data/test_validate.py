"""Sound data passes every gate, also of a stranger's small folder; each fault stops the run and says what to do."""

import socket
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import BadData
from components.shards import shard_paths
from components.validate.advice import ADVICE
from components.validate.gates import PAST_KINDS, images_gates, impressions_gates, listings_gates, past_gates, refused_gates
from tests.validate_tables import NOW, NUM_LISTINGS, NUM_PAGES, OUTS, PAGE, Shop, config, findings_on, set_all, validated


def test_a_sound_shop_passes_every_gate_and_tries_no_connection(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: tried.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **options: tried.append(address) or [])
    summary, report = Shop().validated(tmp_path)
    assert report.keys() == {"listings", "images", "impressions", "quarantine", "history"}
    learnt = report.pop("history")
    assert all(gate["success"] and gate["checked"] for suite in report.values() for gate in suite.values())
    assert {gate["why"] for gate in learnt.values()} == {"0 of 5 past snapshots"}
    assert summary.gates_checked == sum(map(len, report.values()))
    assert summary.rows_in == summary.rows_out == 2 * NUM_LISTINGS + NUM_PAGES * PAGE
    assert report["impressions"]["click_through"]["observed"] == pytest.approx(1 / PAGE, abs=1e-6)
    assert report["listings"]["newest_age_days"]["observed"] == 0
    assert not tried


def test_the_outs_are_the_same_in_every_run_and_the_data_docs_are_web_pages(tmp_path):
    Shop().validated(tmp_path)
    before = [(tmp_path / name).read_bytes() for name in OUTS]
    validated(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in OUTS] == before
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "kept" / "data_docs").rglob("*.html")]
    assert sum("share of impressions that were clicked" in page for page in pages) >= 1
    assert len(list((tmp_path / "kept" / "data_docs" / "validations").rglob("*.html"))) == 13


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


def price_that_is_no_number(shop):
    shop.listings[4]["price"] = float("nan")


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
    (price_that_is_no_number, "listings.price", "listing-fields", "First: m-004"),
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
def test_a_fault_fails_a_gate_that_says_what_was_found_and_where_to_read_on(tmp_path, damage, gate, anchor, found):
    shop = Shop()
    damage(shop)
    failed = {finding.name: str(finding) for finding in findings_on(shop.write(tmp_path)) if finding.stops}
    assert gate in failed
    assert found in failed[gate]
    assert f"docs/runbook.md#{anchor}" in failed[gate]
    assert ADVICE[anchor].next_step in failed[gate]
    assert f"Usual cause: {ADVICE[anchor].cause}" in failed[gate]


def test_a_failed_gate_stops_the_run_leaves_no_outs_and_shows_itself_on_the_page(tmp_path):
    shop = Shop()
    lost_clicks(shop)
    with pytest.raises(BadData, match=r"(?s)1 of 38 gates of validate failed.*impressions\.click_through.*kept/validate\.html"):
        shop.validated(tmp_path)
    assert not [name for name in OUTS if (tmp_path / name).exists()]
    assert (tmp_path / "kept" / "data_docs" / "index.html").exists()
    page = (tmp_path / "kept" / "validate.html").read_text(encoding="utf-8")
    assert "1 of 38 gates failed" in page
    assert "docs/runbook.md#click-through" in page


def test_every_failed_gate_is_listed(tmp_path):
    shop = Shop()
    no_title(shop)
    lost_clicks(shop)
    with pytest.raises(BadData, match=r"(?s)2 of 38 gates .*listings\.title .*impressions\.click_through "):
        shop.validated(tmp_path)


def test_a_column_of_another_type_stops_the_run_before_any_other_gate(tmp_path):
    folder = Shop().write(tmp_path)
    path = shard_paths(folder / "listings")[1]
    table = pq.read_table(path)
    pq.write_table(table.set_column(7, "price", table["price"].cast(pa.string())).drop_columns(["title"]), path)
    with pytest.raises(BadData, match=r"(?s)1 of 3 gates .*listings\.types .*First: price, title\."):
        validated(folder)
    assert "1 of 3 gates failed" in (folder / "kept" / "validate.html").read_text(encoding="utf-8")


def test_a_folder_of_photos_without_sellers_clicks_or_a_category_tree_passes(tmp_path):
    shop = Shop()
    set_all(shop.listings, seller_id=None, category=["Photos"], source="folder", simulated=["price"])
    shop.impressions = []
    summary, report = shop.validated(tmp_path)
    assert summary.gates_not_checked == 2 + len(PAST_KINDS)
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


def test_each_gate_has_advice_of_its_own_stage():
    cfg = config()
    gates = [*listings_gates(cfg, ""), *images_gates(cfg), *impressions_gates(cfg, 0), *refused_gates(cfg, "images")]
    gates += [gate for kind in PAST_KINDS for gate in past_gates(kind, "")]
    assert {gate.advice.anchor for gate in gates} | {"table-types"} == ADVICE.keys()
