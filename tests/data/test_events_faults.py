"""Events broken in every way that ingest names: each row at fault ends in quarantine as it came, and the others come in."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import schema
from components.errors import BadData
from tests.data.events_shop import Shop, at, click, digest, image, impression, listing, page, photo, put, put_shop


@pytest.fixture
def shop(tmp_path):
    """Six sound items, and one sound page of three."""
    shop = Shop(tmp_path)
    put_shop(shop.events)
    put(shop.events, "impressions", 2, page(1, [0, 1, 2]))
    return shop


LISTINGS = {
    "id_missing": {"item_id": " "},
    "title_missing": {"title": ""},
    "title_too_long": {"title": "x" * 100_000},
    "category_missing": {"category": []},
    "price_missing": {"price": None},
    "price_zero": {"price": 0.0},
    "price_negative": {"price": -1.0},
    "price_too_high": {"price": 1e12},
    "price_invalid": {"price": float("nan")},
    "currency_invalid": {"currency": "yen"},
    "currency_unknown": {"currency": "XAU"},
    "status_missing": {"status": None},
    "status_invalid": {"status": "gone"},
    "time_missing": {"created_at": None},
    "time_in_future": {"created_at": at(20)},
    "time_before_shop": {"created_at": at(-20_000)},
    "picture_missing": {"image_id": None},
}


@pytest.mark.parametrize("reason", LISTINGS)
def test_a_listing_at_fault_is_quarantined_as_it_came(shop, reason):
    row = listing(9, at(2)) | LISTINGS[reason]
    put(shop.events, "listings", 2, [row])
    put(shop.events, "images", 2, [image(9)])
    summary = shop.take(as_of=at(3))
    assert summary.quarantined == {reason: 1}
    assert set(shop.items()) == {f"i-{n}" for n in range(6)}
    (kept,) = [*shop.quarantined("listings"), *shop.quarantined("images")]
    assert kept["key"] == "i-9" if reason != "id_missing" else kept["key"].startswith("row ")
    told = json.loads(kept["row"])
    for name, value in LISTINGS[reason].items():
        assert str(told[name]) == str(value)


@pytest.mark.parametrize(
    ("reason", "updated_at", "day"),
    [("time_missing", None, 2), ("time_in_future", at(3, 1), 2), ("time_in_future", at(2e6), 2), ("time_before_shop", at(-20_000), 2)],
)
def test_a_listing_whose_own_time_cannot_be_is_quarantined(shop, reason, updated_at, day):
    put(shop.events, "listings", day, [listing(9) | {"updated_at": updated_at}])
    assert shop.take(as_of=at(10)).quarantined == {reason: 1}


def test_a_clock_a_little_ahead_of_midnight_is_forgiven(shop):
    put(shop.events, "listings", 2, [listing(9, at(3, 0.1))])
    put(shop.events, "images", 2, [image(9)])
    assert shop.take(as_of=at(10)).quarantined == {}


def test_two_rows_of_one_moment_that_differ_are_a_conflict_and_one_counts_in_any_order(shop, tmp_path):
    twins = [listing(0, at(2), title="One"), listing(0, at(2), title="Two")]
    put(shop.events, "listings", 2, twins)
    shop.take("forward")
    forward = shop.items()["i-0"]["title"], shop.reasons("listings")
    put(shop.events, "listings", 2, twins[::-1])
    shop.take("backward")
    assert (shop.items()["i-0"]["title"], shop.reasons("listings")) == forward
    assert forward[1] == [("i-0", "id_conflict")]


def test_text_that_is_not_utf8_is_quarantined_with_its_bytes_escaped(shop):
    def table(name, rows, column):
        made = pa.Table.from_pylist(rows, pa.schema([field.with_nullable(True) for field in schema.EVENTS[name]]))
        raw = pa.array([b"caf\xe9"] * len(rows), pa.binary())
        bad = pa.Array.from_buffers(pa.string(), len(rows), raw.buffers())
        path = shop.events / name / "dt=2026-03-02" / "bad.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made.set_column(made.column_names.index(column), column, bad), path)

    table("listings", [listing(9, at(2))], "title")
    table("impressions", page(2, [0, 1]), "query")
    table("clicks", [click(1, 0)], "item_id")
    summary = shop.take()
    assert summary.quarantined == {"text_invalid": 1}
    assert summary.quarantined_impressions == {"text_invalid": 2}
    assert summary.quarantined_clicks == {"text_invalid": 1}
    assert json.loads(shop.quarantined("listings")[0]["row"])["title"] == "caf\udce9"
    assert json.loads(shop.quarantined("impressions")[0]["row"])["query"] == "caf\\xe9"


def test_pictures_are_held_to_their_digest_and_a_listing_without_one_is_quarantined(shop):
    put(shop.events, "listings", 2, [listing(7, at(2)), listing(8, at(2)), listing(9, at(2)), listing(10, at(2), image_id=digest(1))])
    put(shop.events, "images", 2, [image(7, data=photo(7)[:-9]), image(8)])
    put(shop.events, "images", 3, [image(7, data=photo(7)[:-9])], "again")
    summary = shop.take()
    assert summary.quarantined == {"picture_digest_wrong": 1, "picture_missing": 2}
    kept = {one["key"]: one for one in shop.quarantined("images")}
    assert kept[digest(7)]["data"] == photo(7)[:-9]
    assert kept.keys() == {digest(7), "i-7", "i-9"}
    assert {"i-8", "i-10"} <= shop.items().keys()
    assert summary.rows_quarantined == 2
    assert summary.accounts["images"] == summary.accounts["images"] | {"rows_in": 9, "rows_out": 7, "quarantined": 1, "repeated": 1}


def test_a_picture_that_cannot_be_decoded_is_kept_with_its_bytes(shop):
    cut = photo(9)[:300]
    put(shop.events, "listings", 2, [listing(9, at(2), image_id=hashlib.sha256(cut).hexdigest())])
    put(shop.events, "images", 2, [{"image_id": hashlib.sha256(cut).hexdigest(), "data": cut}])
    assert shop.take().quarantined == {"picture_truncated": 1}
    assert [(one["key"], one["data"]) for one in shop.quarantined("images")] == [("i-9", cut)]


IMPRESSIONS = {
    "id_missing": {"user_id": None},
    "time_missing": {"ts": None},
    "time_in_future": {"ts": at(3, 1)},
    "time_before_shop": {"ts": at(-20_000)},
    "surface_unknown": {"surface": "home"},
    "platform_unknown": {"platform": "tv"},
    "question_missing": {"query": " "},
    "position_negative": {"position": -1},
    "position_invalid": {"position": None},
    "price_missing": {"price": None},
    "price_zero": {"price": 0.0},
    "price_negative": {"price": -3.0},
    "price_too_high": {"price": 1e12},
    "price_invalid": {"price": float("nan")},
    "item_unknown": {"item_id": "never-listed"},
}


@pytest.mark.parametrize("reason", IMPRESSIONS)
def test_an_impression_at_fault_is_quarantined_as_it_came(shop, reason):
    put(shop.events, "impressions", 2, [impression(2, 0, 0), impression(2, 1, 1) | IMPRESSIONS[reason]], "more")
    summary = shop.take(as_of=at(4))
    mixed = reason in ("surface_unknown", "platform_unknown", "question_missing", "id_missing")
    assert summary.quarantined_impressions == {reason: 1} | ({"request_mixed": 1} if mixed else {})
    (kept,) = [one for one in shop.quarantined("impressions") if one["reason"] == reason]
    assert kept["key"] == "r-2"
    told = json.loads(kept["row"])
    for name, value in IMPRESSIONS[reason].items():
        assert str(told[name])[:10] == str(value)[:10] or (told[name] is None and value != value)
    assert shop.shown().keys() >= {("r-1", "i-0"), ("r-1", "i-1"), ("r-1", "i-2")}


def test_a_position_or_an_item_that_a_page_has_twice_costs_all_of_its_rows(shop):
    twice = [impression(2, 0, 0), impression(2, 0, 1), impression(2, 1, 2)]
    again = [impression(3, 0, 0), impression(3, 1, 0), impression(3, 2, 1)]
    put(shop.events, "impressions", 2, [*twice, *again], "more")
    assert shop.take().quarantined_impressions == {"item_repeated": 2, "position_repeated": 2}
    assert shop.shown().keys() >= {("r-2", "i-2"), ("r-3", "i-1")}


@pytest.mark.parametrize("changes", [{"user_id": "u-other"}, {"surface": "similar", "source_item_id": "i-5"}, {"platform": "ios"}])
def test_a_request_of_two_users_surfaces_or_platforms_is_turned_away_whole(shop, changes):
    put(shop.events, "impressions", 2, [impression(2, 0, 0), impression(2, 1, 1), impression(2, 2, 2, **changes)], "more")
    assert shop.take().quarantined_impressions == {"request_mixed": 3}


def test_impressions_of_items_in_quarantine_are_left_out_and_no_fault_of_the_log(shop):
    put(shop.events, "listings", 2, [listing(9, at(2), price=0.0)])
    put(shop.events, "impressions", 2, [*page(2, [0, 9]), *page(3, [1, 2], surface="similar", query=None, source_item_id="i-9")], "more")
    put(shop.events, "clicks", 2, [click(2, 9)])
    summary = shop.take()
    assert summary.quarantined_impressions == {}
    assert summary.accounts["impressions"]["left_out"] == 3
    assert summary.accounts["clicks"]["left_out"] == 1


CLICKS = {
    "id_missing": {"item_id": None},
    "time_missing": {"ts": None},
    "time_in_future": {"ts": at(3, 1)},
    "time_before_shop": {"ts": at(-20_000)},
    "action_unknown": {"action": "hover"},
    "click_without_impression": {"item_id": "i-5"},
}


@pytest.mark.parametrize("reason", CLICKS)
def test_a_click_at_fault_is_quarantined_as_it_came(shop, reason):
    put(shop.events, "clicks", 2, [click(1, 1), click(1, 2) | CLICKS[reason]])
    summary = shop.take(as_of=at(4))
    assert summary.quarantined_clicks == {reason: 1}
    (kept,) = shop.quarantined("clicks")
    assert (kept["key"], json.loads(kept["row"])["request_id"]) == ("r-1", "r-1")
    assert [key for key, one in shop.shown().items() if one["clicked"]] == [("r-1", "i-1")]


def test_a_click_of_no_request_at_all_has_no_impression(shop):
    put(shop.events, "clicks", 2, [click(77, 1)])
    assert shop.take().quarantined_clicks == {"click_without_impression": 1}


def without(path, column):
    pq.write_table(pq.read_table(path).drop_columns(column), path)


def retyped(path, column, kind):
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, table[column].cast(kind)), path)


FILES = {
    "a column missing": (lambda path: without(path, "position"), "impressions", {"column_missing": 1}),
    "a column renamed": (lambda path: renamed(path, "item_id", "itemid"), "impressions", {"column_missing": 1}),
    "a type changed": (lambda path: retyped(path, "price", pa.string()), "impressions", {"column_type": 1}),
    "a time without zone": (lambda path: retyped(path, "ts", pa.timestamp("us")), "impressions", {"column_type": 1}),
    "without its footer": (lambda path: path.write_bytes(path.read_bytes()[:-60]), "impressions", {"file_unreadable": 1}),
    "its middle gone": (lambda path: path.write_bytes(hollow(path.read_bytes())), "listings", {"file_unreadable": 1}),
    "empty": (lambda path: path.write_bytes(b""), "clicks", {"file_unreadable": 1}),
    "no parquet": (lambda path: path.write_bytes(b"request_id,item_id\n"), "clicks", {"file_unreadable": 1}),
}


def renamed(path, old, new):
    table = pq.read_table(path)
    pq.write_table(table.rename_columns([new if name == old else name for name in table.column_names]), path)


def hollow(data):
    return data[:4] + bytes(len(data) // 3) + data[4 + len(data) // 3 :]


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_is_no_table_of_its_kind_is_set_aside_whole(shop, fault):
    damage, table, expected = FILES[fault]
    rows = {"impressions": page(2, [0, 1]), "clicks": [click(1, 1)], "listings": [listing(9, at(2))]}[table]
    path = put(shop.events, table, 2, rows, "bad")
    damage(path)
    summary = shop.take()
    assert summary.files_set_aside == expected
    (kept,) = shop.quarantined("files")
    assert (kept["key"], kept["data"]) == (f"{table}/dt=2026-03-02/bad.parquet", path.read_bytes())
    assert len(shop.table("impressions")) == 3
    if fault == "a column renamed":
        assert "no column 'item_id' (nearest: 'itemid')" in kept["detail"]


def test_widths_and_columns_beside_ours_are_no_fault(shop):
    path = put(shop.events, "impressions", 2, page(2, [3, 4]), "other")
    retyped(path, "position", pa.int16())
    retyped(path, "query", pa.large_string())
    retyped(path, "price", pa.float32())
    retyped(path, "ts", pa.timestamp("ns", tz="Asia/Tokyo"))
    table = pq.read_table(path)
    pq.write_table(table.append_column("extra", pa.array([1, 2])).set_column(2, "surface", table["surface"].dictionary_encode()), path)
    summary = shop.take()
    assert (summary.files_set_aside, summary.num_impressions) == ({}, 5)
    assert shop.shown()["r-2", "i-3"]["ts"] == at(2)


def test_too_many_faults_stop_the_run_and_say_where_they_are(tmp_path):
    shop = Shop(tmp_path, max_impression_quarantine_share=0.25)
    put_shop(shop.events)
    put(shop.events, "impressions", 2, [*page(1, [0, 1]), *page(2, [2], price=0.0)])
    with pytest.raises(BadData) as stop:
        shop.take()
    assert str(stop.value) == (
        "1 of 3 impressions were quarantined (limit 25 %): price_zero 1. First: r-2 (price_zero: nothing is sold for nothing). "
        f"They are in {tmp_path / 'kept'}; see docs/quarantine.md before raising ingest.max_impression_quarantine_share."
    )
    assert pq.read_table(tmp_path / "kept" / "impressions.parquet")["key"].to_pylist() == ["r-2"]


def test_one_reason_can_have_a_limit_of_its_own(tmp_path):
    shop = Shop(tmp_path, max_share_of_reason={"picture_missing": 0.1, "time_missing": 0.0})
    put_shop(shop.events)
    put(shop.events, "listings", 2, [listing(9, at(2), title="")])
    shop.take("another reason")
    put(shop.events, "listings", 2, [listing(9, at(2))])
    with pytest.raises(BadData, match=r"1 of 7 listings were quarantined as picture_missing \(limit 10 %\)\. First: i-9 "):
        shop.take("this one")


def test_a_file_set_aside_stops_the_run_where_files_are_few(tmp_path):
    shop = Shop(tmp_path, max_quarantine_share=0.05)
    put_shop(shop.events)
    put(shop.events, "impressions", 2, page(1, [0, 1])).write_bytes(b"PAR1")
    with pytest.raises(BadData, match=r"1 of 3 files were quarantined \(limit 5 %\): file_unreadable 1\. First: impressions/dt=2026-03-02"):
        shop.take()
