"""Ingest from a shop's own tables: each row ends as a listing, in quarantine or under a word that counts it."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from components.errors import BadData, BadParams
from components.images import MAX_PICTURE_BYTES
from tests.data.events_shop import at, page, photo
from tests.data.tables_shop import Shop, listing, logged, number_of, put, put_photos, put_shop, table


@pytest.fixture
def shop(tmp_path):
    """Six sound items."""
    shop = Shop(tmp_path)
    put_shop(shop.tables)
    return shop


def test_a_table_with_photos_by_key_comes_in_and_what_nobody_gave_is_made_up_and_marked(shop):
    summary = shop.take()
    assert (summary.rows_in, summary.rows_out, summary.num_images, summary.num_sellers) == (6, 6, 6, 3)
    item = shop.items()["3"]
    assert (item["title"], item["category"], item["price"], item["seller_id"]) == ("Shirt 3", ["Fashion", "Hats"], 903.0, "0")
    assert (item["created_at"], item["source"], item["image_id"]) == (at(1, 0.3), "parquet", hashlib.sha256(photo(3)).hexdigest())
    assert (item["simulated"], summary.simulated) == (["app_version"], ["app_version", "impressions"])
    assert summary.columns_absent == ["app_version", "currency", "description"]
    assert shop.snapshot.as_of == at(1, 0.5)


def test_photos_may_come_in_a_column_by_key_or_both(shop):
    rows = [listing(0, photo=None, data=photo(0)), listing(1, data=None), listing(2, photo="no/such.jpg", data=photo(2))]
    rows += [listing(3, photo=None, data=None), listing(4, data=photo(0)), listing(5, photo=None, data=b"")]
    put(shop.tables, "listings/part-0.parquet", rows)
    shop.set(tables={"listings": {"picture": "data"}})
    summary = shop.take()
    assert {key: one["image_id"] for key, one in shop.items().items()} == {
        number: hashlib.sha256(photo(shown)).hexdigest() for number, shown in {"0": 0, "1": 1, "2": 2, "4": 0}.items()
    }
    assert summary.quarantined == {"picture_empty": 1, "picture_missing": 1}
    assert summary.num_images == 3


def test_a_column_of_photos_needs_no_keys_at_all(shop):
    rows = [{name: value for name, value in listing(n, data=photo(n)).items() if name != "photo"} for n in range(3)]
    put(shop.tables, "listings/part-0.parquet", rows)
    shop.set(columns={"image": None}, tables={"listings": {"picture": "data"}})
    assert shop.take().rows_out == 3
    assert shop.snapshot.source.pictures == {}


def test_hidden_and_other_files_are_no_part_of_a_table(shop, caplog):
    put(shop.tables, "listings/_temporary/part-1.parquet", [listing(8)])
    put(shop.tables, "listings/.part-2.parquet.crc", [listing(9)])
    (shop.tables / "listings/_SUCCESS").touch()
    assert shop.take().rows_in == 6
    assert "listings: 2 files are left out as hidden or of another kind, first listings/.part-2.parquet.crc" in caplog.text


def test_a_table_may_be_one_file_or_all_that_lies_in_the_source(shop):
    put(shop.tables, "more.parquet", [listing(6)])
    put_photos(shop.tables, [6])
    assert shop.set(tables={"listings": {"at": "more.parquet"}}).take("one").rows_in == 1
    assert shop.set(tables={"listings": {"at": "."}}).take("all").rows_in == 7
    logged(shop, [number_of(row) for row in page(1, [0, 1])])
    assert (shop.take("but other tables").rows_in, shop.quarantined("files")) == (7, [])


def test_equal_rows_count_once_and_of_others_with_one_id_a_digest_decides(shop):
    put(shop.tables, "listings/part-1.parquet", [listing(0), listing(1, price=5), listing(1, price=6)])
    summary = shop.take()
    assert (summary.rows_out, summary.quarantined) == (6, {"id_conflict": 2})
    assert summary.accounts["listings"]["repeated"] == 1
    assert "'1' has another row, which says something else and is kept" in shop.quarantined("listings")[0]["detail"]
    kept = shop.items()["1"]["price"]
    put(shop.tables, "listings/part-0.parquet", [listing(1, price=6), *(listing(n) for n in (0, 2, 3, 4, 5)), listing(1, price=5)])
    put(shop.tables, "listings/part-1.parquet", [listing(1), listing(0)])
    shop.take("other files")
    assert shop.items()["1"]["price"] == kept


def test_where_rows_say_when_they_were_written_the_newest_counts(shop):
    rows = [listing(0, written=at(2), price=1), listing(0, written=at(3), price=2), listing(1, written=at(1)), listing(2, written=None)]
    put(shop.tables, "listings/part-0.parquet", rows)
    summary = shop.set(tables={"listings": {"updated_at": "written"}}).take()
    assert {key: one["price"] for key, one in shop.items().items()} == {"0": 2.0, "1": 901.0}
    assert (summary.accounts["listings"]["superseded"], summary.quarantined) == (1, {"time_missing": 1})
    assert shop.snapshot.as_of == at(3)
    early = shop.take("early", as_of=at(2, 12))
    assert (shop.items()["0"]["price"], early.accounts["listings"]["held_back"]) == (1.0, 1)


def test_without_such_a_time_an_item_is_not_there_before_it_was_created(shop):
    put(shop.tables, "listings/part-1.parquet", [listing(6, created=at(5))])
    put_photos(shop.tables, [6])
    early = shop.take("early", as_of=at(4))
    assert (early.rows_out, early.accounts["listings"]["held_back"], early.quarantined) == (6, 1, {})
    assert shop.take("late").rows_out == 7


def test_a_time_after_the_newest_days_end_is_from_a_wrong_clock(shop):
    put(shop.tables, "listings/part-1.parquet", [listing(6, created=datetime(2100, 1, 1, tzinfo=UTC))])
    summary = shop.take()
    assert (shop.snapshot.as_of, summary.quarantined) == (at(1, 0.5), {"time_in_future": 1})


def test_one_changed_photo_is_decoded_and_the_others_are_not(shop, caplog):
    caplog.set_level("INFO", "vitrine")
    shop.take("first")
    (shop.tables / "photos/3.jpg").write_bytes(photo(30))
    put(shop.tables, "listings/part-1.parquet", [listing(6)])
    put_photos(shop.tables, [6])
    shop.take("second")
    assert "ingest: 5 reused from the work cache, 2 worked on" in caplog.text


def test_a_photo_with_too_many_bytes_is_told_by_its_size_and_never_read(shop):
    with open(shop.tables / "photos/0.jpg", "wb") as file:
        file.truncate(MAX_PICTURE_BYTES + 1)
    put(shop.tables, "listings/part-1.parquet", [listing(6, photo=None, data=bytes(MAX_PICTURE_BYTES + 1))])
    put(shop.tables, "listings/part-0.parquet", [listing(n, data=None) for n in range(6)])
    shop.set(tables={"listings": {"picture": "data"}})
    assert shop.take().quarantined == {"picture_too_many_bytes": 2}
    assert shop.snapshot.source.pictures["photos/0.jpg"].sha256 == ""


def test_as_of_needs_times(shop):
    rows = [{name: value for name, value in listing(n).items() if name != "created"} for n in range(2)]
    put(shop.tables, "listings/part-0.parquet", rows)
    assert shop.pin().snapshot.as_of == shop.market.now
    with pytest.raises(BadParams, match="--as-of needs times"):
        shop.pin(as_of=at(2))
    with pytest.raises(BadParams, match="has not come yet"):
        shop.pin(as_of=at(2) + timedelta(days=400))


def test_a_table_without_rows_stops_the_run(shop):
    empty = table([listing(0)]).slice(0, 0)
    put(shop.tables, "listings/part-0.parquet", empty)
    with pytest.raises(BadData, match="the source has no rows"):
        shop.take()
    put(shop.tables, "listings/part-1.parquet", [listing(1)])
    assert shop.take("one more").rows_out == 1
