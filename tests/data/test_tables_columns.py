"""Columns of a shop's own tables: the same value comes in however it is called, typed and written."""

import decimal
import json
import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.errors import BadData
from tests.conftest import PROJECT
from tests.data.events_shop import page
from tests.data.tables_shop import Shop, listing, logged, number_of, put, put_photos, put_shop, table


@pytest.fixture
def shop(tmp_path):
    """Six sound items."""
    shop = Shop(tmp_path)
    put_shop(shop.tables)
    return shop


CATEGORIES = {
    "a list": ({"c0_name": ["Fashion", "Shirts"], "c1_name": None}, None, ["Fashion", "Shirts"]),
    "a separator": ({"c0_name": "Fashion > Shirts > Long", "c1_name": None}, " > ", ["Fashion", "Shirts", "Long"]),
    "one name": ({"c0_name": "Fashion > Shirts", "c1_name": None}, None, ["Fashion > Shirts"]),
    "several columns": ({"c0_name": "Fashion", "c1_name": "Shirts"}, None, ["Fashion", "Shirts"]),
    "a number": ({"c0_name": 12, "c1_name": 7}, None, ["12", "7"]),
    "a lower level that is null": ({"c0_name": ["Fashion"], "c1_name": None}, None, ["Fashion"]),
}


@pytest.mark.parametrize("how", CATEGORIES)
def test_a_category_may_be_written_in_many_ways(shop, how):
    told, separator, expected = CATEGORIES[how]
    put(shop.tables, "listings/part-0.parquet", [listing(0, **told)])
    shop.set(tables={"listings": {"category_separator": separator}}).take()
    assert shop.items()["0"]["category"] == expected


def test_a_root_category_that_is_null_is_not_replaced_by_the_next_level(shop):
    put(shop.tables, "listings/part-0.parquet", [listing(0, c0_name=None), listing(1)])
    assert shop.take().quarantined == {"category_missing": 1}


IDS = {
    "int64": pa.int64(),
    "uint32": pa.uint32(),
    "text": pa.string(),
    "large text": pa.large_string(),
    "bytes": pa.binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "whole floats, as pandas makes of ids that may be null": pa.float64(),
    "decimal": pa.decimal128(20, 0),
}


@pytest.mark.parametrize("kind", IDS)
def test_an_id_is_the_same_however_it_is_stored(shop, kind):
    wanted = IDS[kind]
    is_text = not (pa.types.is_integer(wanted) or pa.types.is_floating(wanted) or pa.types.is_decimal(wanted))
    rows = [listing(n, id=str(n) if is_text else decimal.Decimal(n) if pa.types.is_decimal(wanted) else n) for n in range(3)]
    for row in rows:
        row["id"] = row["id"].encode() if pa.types.is_binary(wanted) else row["id"]
    put(shop.tables, "listings/part-0.parquet", table(rows, id=wanted))
    shop.take()
    assert set(shop.items()) == {"0", "1", "2"}


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIMES = {
    "microseconds, UTC": (pa.timestamp("us", "UTC"), NOON, None),
    "nanoseconds, another zone": (pa.timestamp("ns", "Asia/Tokyo"), NOON, None),
    "milliseconds without a zone": (pa.timestamp("ms"), datetime(2026, 3, 1, 21), None),
    "seconds without a zone": (pa.timestamp("s"), datetime(2026, 3, 1, 21), None),
    "a number of seconds": (pa.int64(), int(NOON.timestamp()), "s"),
    "a number of milliseconds": (pa.int64(), int(NOON.timestamp() * 1000), "ms"),
    "text with a zone": (pa.string(), "2026-03-01T12:00:00Z", None),
    "text without a zone": (pa.string(), "2026-03-01 21:00:00", None),
}


@pytest.mark.parametrize("how", TIMES)
def test_a_time_is_the_same_however_it_is_written(shop, how):
    kind, written, unit = TIMES[how]
    put(shop.tables, "listings/part-0.parquet", table([listing(0, created=written)], created=kind))
    shop.set(tables={"time_zone": "Asia/Tokyo", "time_unit": unit}).take()
    assert (shop.items()["0"]["created_at"], shop.snapshot.as_of) == (NOON, NOON)


def test_a_date_is_its_midnight_in_the_shops_zone(shop):
    put(shop.tables, "listings/part-0.parquet", [listing(0, created=date(2026, 3, 1))])
    shop.set(tables={"time_zone": "Asia/Tokyo"}).take()
    assert shop.items()["0"]["created_at"] == datetime(2026, 3, 1, tzinfo=ZoneInfo("Asia/Tokyo"))


def test_words_are_translated_and_what_a_table_lacks_can_be_said(shop):
    rows = [listing(0, status=1), listing(1, status=2), listing(2, status=9)]
    put(
        shop.tables,
        "listings/part-0.parquet",
        [{"state" if name == "status" else name: value for name, value in row.items()} for row in rows],
    )
    shop.set(columns={"status": "state"})
    shop.set(
        tables={"listings": {"words": {"status": {"1": "on_sale", "2": "sold"}}, "fixed": {"currency": "JPY", "app_version": "1.0.0"}}}
    )
    summary = shop.take()
    assert {key: one["status"] for key, one in shop.items().items()} == {"0": "on_sale", "1": "sold"}
    assert summary.quarantined == {"status_invalid": 1}
    assert shop.items()["0"]["app_version"] == "1.0.0"
    assert summary.simulated == ["impressions"]


def test_files_at_any_depth_are_one_table_and_columns_may_differ_between_them(shop):
    put(shop.tables, "listings/dt=1/region=a/b.snappy.parquet", [listing(6, id="6", price=decimal.Decimal("5.50"))])
    without = {name: value for name, value in listing(7).items() if name not in ("seller", "price")}
    put(shop.tables, "listings/x/y/z/part.PARQUET", [{**without, "extra": {"deep": [1]}}])
    put_photos(shop.tables, (6, 7))
    summary = shop.take()
    assert summary.rows_out == 8
    assert (shop.items()["6"]["price"], shop.items()["7"]["seller_id"]) == (5.5, None)
    assert shop.items()["7"]["simulated"] == ["app_version", "currency", "price"]
    assert summary.columns_absent == ["app_version", "currency", "description", "price", "seller_id"]


def test_only_the_columns_that_are_wanted_are_read(shop):
    """The unread column is damaged: who reads it falls over it."""
    rows = [listing(n) | {"zz_unread": "x" * 5000 + str(n)} for n in range(6)]
    path = put(shop.tables, "listings/part-0.parquet", rows, compression="none", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(0).column(9)
    assert column.path_in_schema == "zz_unread"
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 40] = bytes(40)
    path.write_bytes(bytes(data))
    assert shop.take("without it").rows_out == 6
    shop.set(columns={"description": "zz_unread"})
    with pytest.raises(BadData, match=r"1 of 1 files were quarantined .* file_unreadable 1"):
        shop.take("with it")


def test_text_that_is_not_utf8_is_quarantined_with_its_bytes_escaped(shop):
    put(shop.tables, "listings/part-1.parquet", [listing(6, name=b"caf\xe9")])
    shown = [number_of(row) | {"query": b"caf\xe9"} for row in page(1, [1])]
    summary = logged(shop, shown).take()
    assert (summary.quarantined, summary.quarantined_impressions) == ({"text_invalid": 1}, {"text_invalid": 1})
    assert json.loads(shop.quarantined("listings")[0]["row"])["title"] == "caf\udce9"


def test_the_example_of_the_docs_takes_columns_like_merrecs(shop):
    (example,) = re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs/tables.md").read_text(), re.DOTALL)
    told = {"user_id": 7, "event_id": "item_view", "product_id": "p-1", "c2_name": None, "brand_name": None, "price": 12.0, "color": "red"}
    rows = [{"item_id": n, "name": f"Cap {n}", "photo": f"photos/{n}.jpg", "c0_name": "Men", "c1_name": "Hats", **told} for n in (1, 1, 2)]
    put(shop.tables, "20230501/0.parquet", [row | {"stime": datetime(2023, 5, 1, hour)} for hour, row in enumerate(rows)])
    shop.set(**yaml.safe_load(example)["ingest"]).take()
    assert {key: (one["category"], one["status"], one["currency"]) for key, one in shop.items().items()} == dict.fromkeys(
        ("1", "2"), (["Men", "Hats"], "on_sale", "USD")
    )
    assert shop.snapshot.as_of == datetime(2023, 5, 1, 2, tzinfo=UTC)
