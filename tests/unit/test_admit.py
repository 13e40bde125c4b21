"""The door of ingest: which rows come in, and under which reason the others are turned away."""

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import schema
from components.ingest import reasons
from components.ingest.admit import Door, Rules, admit, language_of, newest
from components.ingest.rows import RawListing, Rejection

PROJECT = Path(__file__).parents[2]
RULES = Rules(
    source="folder",
    currency="JPY",
    currencies=frozenset({"JPY", "USD"}),
    max_title_chars=20,
    max_price=1e9,
    opened=datetime(2000, 1, 1, tzinfo=UTC),
    as_of=datetime(2025, 6, 1, tzinfo=UTC),
    complete=False,
)


def raw(**changes):
    fields = {"item_id": "m-1", "title": "Red shirt", "category": ["Fashion", "Shirts"], "price": "1200", **changes}
    return RawListing(fields, None, "1.jpg")


def reason(rules=RULES, **changes):
    outcome = admit(raw(**changes), rules)
    return outcome.reason if isinstance(outcome, Rejection) else None


def test_a_sound_row_becomes_a_listing_with_blanks_as_null():
    listing = admit(raw(seller_id=" s-1 ", product_id=" ", description=None, created_at="2024-05-31", status="sold"), RULES)
    assert listing == {
        "item_id": "m-1",
        "seller_id": "s-1",
        "product_id": None,
        "title": "Red shirt",
        "title_language": "en",
        "description": "",
        "category": ["Fashion", "Shirts"],
        "price": 1200.0,
        "currency": "JPY",
        "status": "sold",
        "created_at": datetime(2024, 5, 31, tzinfo=UTC),
        "app_version": None,
        "source": "folder",
        "simulated": [],
    }


def test_values_nobody_gave_stay_open_for_the_simulator():
    listing = admit(raw(price=None), RULES)
    assert {listing[name] for name in ("price", "currency", "created_at", "status", "app_version")} == {None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"item_id": "  "}, "id_missing"),
        ({"item_id": None}, "id_missing"),
        ({"title": None}, "title_missing"),
        ({"title": "\u200b\u200d"}, "title_missing"),
        ({"title": "x" * 21}, "title_too_long"),
        ({"title": "x" * 100_000}, "title_too_long"),
        ({"category": [None, "Shirts"]}, "category_missing"),
        ({"category": []}, "category_missing"),
        ({"category": None}, "category_missing"),
        ({"price": "-1"}, "price_negative"),
        ({"price": -0.5}, "price_negative"),
        ({"price": "-1e999"}, "price_negative"),
        ({"price": "0"}, "price_zero"),
        ({"price": "-0.0"}, "price_zero"),
        ({"price": "1000000001"}, "price_too_high"),
        ({"price": "1e999"}, "price_too_high"),
        ({"price": "1,200"}, "price_invalid"),
        ({"price": "nan"}, "price_invalid"),
        ({"price": "inf"}, "price_invalid"),
        ({"price": "1_000"}, "price_invalid"),
        ({"price": "１２０"}, "price_invalid"),
        ({"price": "1e300"}, "price_too_high"),
        ({"price": "¥100"}, "price_invalid"),
        ({"currency": "yen"}, "currency_invalid"),
        ({"currency": "EUR"}, "currency_unknown"),
        ({"created_at": "yesterday"}, "time_invalid"),
        ({"created_at": "2024-02-30"}, "time_invalid"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "time_invalid"),
        ({"created_at": "1969-12-31"}, "time_invalid"),
        ({"created_at": "1999-12-31"}, "time_before_shop"),
        ({"created_at": "2025-06-01T00:00:01Z"}, "time_in_future"),
        ({"status": "available"}, "status_invalid"),
        ({"title": "caf\udce9"}, "text_invalid"),
        ({"category": ["Fashion", "a\x00b"]}, "text_invalid"),
    ],
)
def test_each_fault_has_its_own_reason(changes, expected):
    assert reason(**changes) == expected


def test_what_the_source_found_comes_first():
    fault = Rejection("row_malformed", "3 cells, the header has 4")
    assert admit(RawListing({"title": ""}, None, "", fault), RULES) == fault


@pytest.mark.parametrize("changes", [{"currency": "USD"}, {"created_at": "2025-06-01"}, {"created_at": "2000-01-01"}, {"price": "1e9"}])
def test_what_lies_just_inside_the_limits_comes_in(changes):
    assert reason(**changes) is None


@pytest.mark.parametrize(
    ("name", "expected"), [("price", "price_missing"), ("status", "status_missing"), ("created_at", "time_missing"), ("currency", None)]
)
def test_where_nothing_may_be_made_up_each_value_must_be_given(name, expected):
    complete = dataclasses.replace(RULES, complete=True)
    given = {"status": "sold", "created_at": "2024-05-31", "currency": "JPY"}
    assert reason(complete, **given | {name: None}) == expected


@pytest.mark.parametrize("price", ["0.01", "1200", "1200.", ".5", " 12 ", "+3", "1e6", 99.5, 7])
def test_a_plain_positive_number_is_a_price(price):
    assert reason(price=price) is None


def test_a_rejection_says_what_was_found():
    assert admit(raw(title="x" * 21), RULES) == Rejection("title_too_long", "21 characters, limit 20")
    assert admit(raw(title="caf\udce9"), RULES) == Rejection("text_invalid", "title holds byte 0xe9, which is not UTF-8")


def test_the_first_row_with_an_id_keeps_it_even_if_it_was_turned_away():
    door = Door(RULES)
    rows = [raw(price="-1"), raw(), raw(item_id=" m-1", price="-1"), raw(price="-1"), raw(item_id="m-2")]
    outcomes = [door.admit(row) for row in rows]
    assert [getattr(o, "reason", "in") for o in outcomes] == ["price_negative", "id_conflict", "id_conflict", "id_duplicate", "in"]


def test_rows_without_an_id_are_no_duplicates_of_each_other():
    door = Door(RULES)
    assert [door.admit(raw(item_id=None)).reason for _ in range(2)] == ["id_missing", "id_missing"]


def test_titles_are_one_line_of_nfc_and_a_dropped_category_level_closes_up():
    listing = admit(raw(title="  Cafe\u0301 \n cup ", category=["Home", " ", "Cups"]), RULES)
    assert (listing["title"], listing["category"]) == ("Café cup", ["Home", "Cups"])


@pytest.mark.parametrize(
    ("title", "language"),
    [("Red shirt", "en"), ("ｶﾜｲｲ", "ja"), ("シャツ Sサイズ", "ja"), ("帽子", "ja"), ("Été", "en"), ("рубашка", "und"), ("100%", "und")],
)
def test_the_script_decides_the_language(title, language):
    assert language_of(title) == language


def test_the_newest_time_is_in_utc_and_skips_what_cannot_be_read():
    times = ["2024-05-31T23:30:00-05:00", "2024-06-01T03:00:00", "soon", None]
    clock = datetime(2025, 1, 1, tzinfo=UTC)
    assert newest((raw(created_at=time) for time in times), clock) == datetime(2024, 6, 1, 4, 30, tzinfo=UTC)
    assert newest([raw(), raw(created_at="soon")], clock) is None


def test_a_time_after_the_clock_is_not_the_newest():
    clock = datetime(2024, 6, 1, tzinfo=UTC)
    assert newest([raw(created_at="2024-06-02"), raw(created_at="2024-05-01")], clock) == datetime(2024, 5, 1, tzinfo=UTC)


LIKELY = st.sampled_from(["-1", "12", "2024-01-01", "on_sale", "\udce9", "JPY"])
CELL = st.none() | st.text(max_size=30) | st.floats() | st.integers() | LIKELY
NAMES = st.sampled_from(["item_id", "title", "price", "currency", "created_at", "status", "seller_id", "description"])


@given(st.dictionaries(NAMES, CELL), st.none() | st.text(max_size=5) | st.lists(CELL, max_size=3))
def test_whatever_a_row_holds_it_becomes_a_table_row_or_a_named_rejection(fields, category):
    outcome = admit(RawListing({**fields, "category": category}, None, ""), RULES)
    if isinstance(outcome, Rejection):
        assert outcome.reason in reasons.LISTING
        assert outcome.detail
    else:
        table = pa.Table.from_pylist([{**outcome, "image_id": ""}], schema.LISTINGS)
        assert table.num_rows == 1
        assert outcome["price"] is None or outcome["price"] > 0


def test_every_reason_has_one_row_in_the_docs():
    page = re.sub(r"### Taken in and converted.*?\n## ", "", (PROJECT / "docs/quarantine.md").read_text(), flags=re.S)
    told = re.findall(r"^\| ([a-z]+_\w+) \|", page, re.M)
    assert sorted(told) == sorted(reasons.ALL)


def test_every_reason_that_code_gives_is_a_known_one_and_every_known_one_is_given():
    files = [*(PROJECT / "components/ingest").rglob("*.py"), PROJECT / "components/images.py"]
    source = "".join(path.read_text() for path in files if path.name != "reasons.py")
    quoted = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', source))
    assert not reasons.ALL - quoted
    raised = re.findall(r'(?:BadPicture|_RefusedError|NoTableError|Rejection)\("(\w+)"|_required\(.*, "(\w+)"\)', source)
    assert {a or b for a, b in raised} <= reasons.ALL


def test_an_unknown_reason_is_told_with_the_nearest():
    assert reasons.unknown("price_zero") is None
    assert reasons.unknown("price_zer") == "'price_zer' is no reason of docs/quarantine.md; did you mean 'price_zero'?"
