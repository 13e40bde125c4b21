"""The simulated market: the same seed gives the same bytes, and every claim about its sellers and rows holds."""

import datetime as dt
import unicodedata
from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import schema
from components.contract import bind, read_params
from components.errors import BadParams, BadPicture
from components.images import decode, open_picture
from components.ingest.broken import WAYS, bomb, way_of
from components.ingest.drawing.kinds import KINDS
from components.ingest.market import FILLED, MarketConfig, Truth, fill_missing, simulate
from components.ingest.rows import RawListing
from components.ingest.sellers import new_defects
from components.ingest.shelf import words_of

PARAMS = read_params(Path(__file__).resolve().parents[2] / "params.yaml")
COMPUTED_BY_INGEST = {"image_id", "source", "simulated"}


def make_cfg(**changes: Any) -> MarketConfig:
    section = {**PARAMS["market"], "num_listings": 40, "photo_px": 64, "bad_share": 0.0, **changes}
    return bind(MarketConfig, "market", {"market": section})


def make_rows(**changes: Any) -> list[tuple[RawListing, Truth]]:
    return list(simulate(make_cfg(**changes)))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others():
    assert make_rows(num_listings=20) == make_rows(num_listings=20)
    first, other = make_rows(num_listings=20), make_rows(num_listings=20, seed=8)
    assert all(a.picture != b.picture for (a, _), (b, _) in zip(first, other, strict=True))


def test_a_larger_market_begins_with_the_rows_of_a_smaller_one():
    smaller = make_rows(num_listings=45, relist_share=0.4, near_duplicate_share=0.2, bad_share=0.3)
    larger = make_rows(num_listings=70, relist_share=0.4, near_duplicate_share=0.2, bad_share=0.3)
    assert larger[:45] == smaller


def test_a_market_of_a_billion_rows_gives_its_first_row_at_once():
    (listing, truth), *_ = islice(simulate(make_cfg(num_listings=1_000_000_000)), 1)
    assert listing.fields["item_id"] == truth.item_id == "m-000000"


def test_rows_and_truth_fit_their_schemas():
    rows = make_rows()
    columns = [f for f in schema.LISTINGS if f.name not in {"image_id", "simulated"}]
    listings = pa.Table.from_pylist([{**row.fields, "created_at": as_time(row)} for row, _ in rows], pa.schema(columns))
    truth = pa.Table.from_pylist(
        [{**vars(t), "defects": [{"name": n, "strength": s} for n, s in t.defects]} for _, t in rows], schema.TRUTH
    )
    listings.validate(full=True)
    truth.validate(full=True)
    assert not any(listings[f.name].null_count for f in columns)
    assert {t.kind for _, t in rows} <= set(KINDS)


def as_time(row: RawListing) -> dt.datetime:
    return dt.datetime.fromisoformat(str(row.fields["created_at"]))


def test_every_value_of_a_simulated_row_is_marked_as_simulated():
    for row, _ in make_rows(num_listings=5):
        assert row.fields["source"] == "simulate"
        assert set(row.fields["simulated"]) == set(row.fields) - {"source", "simulated"} == set(schema.LISTINGS.names) - COMPUTED_BY_INGEST


def test_every_listing_is_older_than_the_first_page_that_could_show_it():
    cfg = make_cfg()
    assert all(as_time(row) <= cfg.now - dt.timedelta(days=cfg.num_days) for row, _ in simulate(cfg))


def test_unbroken_photos_decode_at_the_size_asked_for():
    sizes = {decode(row.picture or b"").size for row, _ in make_rows(photo_px=96)}
    assert sizes == {(96, 96), (72, 96), (96, 72)}


def test_titles_are_normal_text_in_the_language_they_claim():
    rows = make_rows(num_listings=120)
    for row, truth in rows:
        title, language = str(row.fields["title"]), row.fields["title_language"]
        assert title == unicodedata.normalize("NFC", title).strip()
        assert title.isascii() == (language == "en")
        assert set(words_of(KINDS[truth.kind].word[language == "ja"])) <= set(words_of(title))
    assert {row.fields["title_language"] for row, _ in rows} == {"en", "ja"}


def test_a_product_shown_twice_keeps_its_look_and_stays_within_one_circle_of_sellers():
    cfg = make_cfg(num_listings=150, relist_share=0.5, sellers_per_circle=3)
    shown = defaultdict(list)
    for row, truth in simulate(cfg):
        shown[row.fields["product_id"]].append((int(str(row.fields["seller_id"])[2:]) // 3, truth.kind, row.picture))
    again = [sellers for sellers in shown.values() if len(sellers) > 1]
    assert len(again) > 10
    assert all(len({(circle, kind) for circle, kind, _ in sellers}) == 1 for sellers in again)
    assert all(len({picture for _, _, picture in sellers}) == len(sellers) for sellers in again)


def test_a_near_duplicate_is_the_same_picture_in_other_bytes():
    rows = [row for row, _ in make_rows(num_listings=2, num_sellers=1, near_duplicate_share=1.0, relist_share=0.0)]
    first, second = (np.asarray(decode(row.picture or b""), float) for row in rows)
    (other, _), *_ = make_rows(num_listings=1, seed=8)
    assert rows[0].picture != rows[1].picture
    assert rows[0].fields["product_id"] == rows[1].fields["product_id"]
    assert np.abs(first - second).mean() < 8
    assert difference_to(other, first) > 20


def difference_to(row: RawListing, pixels: np.ndarray) -> float:
    resized = decode(row.picture or b"").resize((pixels.shape[1], pixels.shape[0]))
    return float(np.abs(np.asarray(resized, float) - pixels).mean())


def test_sellers_who_take_care_spoil_fewer_photos():
    careless = np.mean([len(new_defects(0.0, np.random.default_rng(n))) for n in range(400)])
    careful = np.mean([len(new_defects(1.0, np.random.default_rng(n))) for n in range(400)])
    assert 1.9 < careless < 2.6
    assert 0.2 < careful < 0.45


def test_sellers_differ_in_the_quality_of_their_photos_by_more_than_chance():
    qualities = defaultdict(list)
    for row, truth in simulate(make_cfg(num_listings=300, num_sellers=12, sellers_per_circle=1, near_duplicate_share=0.0, photo_px=64)):
        qualities[row.fields["seller_id"]].append(truth.quality)
    groups = [np.array(values) for values in qualities.values() if len(values) >= 10]
    within = np.mean([values.var(ddof=1) / len(values) for values in groups])
    between = np.var([values.mean() for values in groups], ddof=1)
    assert between > 2 * within


def test_each_way_to_break_a_row_appears_and_is_what_it_says():
    rows = [row for row, _ in make_rows(num_listings=80, bad_share=0.2)]
    ways = [way_of(index, 0.2) for index in range(80)]
    broken = {way: rows[index] for index, way in enumerate(ways) if way}
    assert set(broken) == set(WAYS)
    assert sum(way is not None for way in ways) == 16
    assert broken["missing_picture"].picture is None
    assert reason_of(broken["zero_bytes"]) == "picture_empty"
    assert reason_of(broken["truncated_jpeg"]) == "picture_truncated"
    assert reason_of(broken["one_pixel"]) == "picture_too_small"
    assert reason_of(broken["bomb"]) == "picture_too_many_pixels"
    assert float(str(broken["negative_price"].fields["price"])) < 0
    assert not str(broken["empty_title"].fields["title"]).strip()
    twins = [index for index, way in enumerate(ways) if way == "duplicate_id"]
    assert all(rows[index].fields["item_id"] == rows[index - 1].fields["item_id"] for index in twins)


def reason_of(row: RawListing) -> str:
    with pytest.raises(BadPicture) as caught:
        decode(row.picture or b"")
    return caught.value.reason


def test_rows_that_are_not_broken_on_purpose_are_sound():
    for row, _ in make_rows(num_listings=60):
        decode(row.picture or b"")
        assert float(str(row.fields["price"])) >= 100
        assert row.fields["title"]


@given(share=st.floats(0, 0.5), num_rows=st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_the_share_of_broken_rows_is_the_share_asked_for(share, num_rows):
    count = sum(way_of(index, share) is not None for index in range(num_rows))
    assert abs(count - share * num_rows) <= 1


def test_the_bomb_is_tiny_and_is_never_expanded():
    assert len(bomb()) < 100
    with pytest.raises(BadPicture, match="picture_too_many_pixels"):
        open_picture(bomb())


def test_filling_keeps_what_was_given_and_names_what_it_made_up():
    given_fields = {"item_id": "cl-1", "title": "Shoes", "category": ["Footwear", "Shoes"], "price": 1234.0, "currency": None}
    fields, filled = fill_missing(given_fields, make_cfg())
    assert fields["price"] == 1234.0
    assert filled == ["currency", "created_at", "status", "app_version"]
    assert all(fields[name] is not None for name in FILLED)
    assert set(fields) == set(given_fields) | set(FILLED)


def test_filling_depends_on_the_item_and_the_seed_alone():
    fields = {"item_id": "cl-1", "category": ["Footwear", "Shoes"]}
    first, _ = fill_missing(fields, make_cfg())
    titled, _ = fill_missing({**fields, "title": "Red shoes"}, make_cfg(num_listings=7))
    assert titled == {**first, "title": "Red shoes"}
    assert first["price"] != fill_missing({**fields, "item_id": "cl-2"}, make_cfg())[0]["price"]
    assert first["price"] != fill_missing(fields, make_cfg(seed=99))[0]["price"]


def test_filled_prices_are_log_normal_around_a_median_of_the_leaf():
    cfg = make_cfg(price_spread=0.5)
    logs = {
        leaf: np.log([float(str(fill_missing({"item_id": f"i-{n}", "category": ["Root", leaf]}, cfg)[0]["price"])) for n in range(600)])
        for leaf in ("Skirt", "Hat")
    }
    assert all(abs(values.std() - 0.5) < 0.06 for values in logs.values())
    assert abs(np.median(logs["Skirt"]) - np.median(logs["Hat"])) > 0.1


def test_a_time_without_a_zone_is_refused_with_advice():
    with pytest.raises(BadParams, match="time zone"):
        make_cfg(as_of="2026-01-01T00:00:00")
