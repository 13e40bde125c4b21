"""Columns of a shop's own tables: whatever type and values they have, they are read as ours or called a misfit."""

import datetime as dt
import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.ingest.tables import values
from components.ingest.tables.times import Clock
from components.ingest.tables.values import MisfitError

NUMBERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
ZONES = ("UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York")
UNITS = ("s", "ms", "us", "ns")
KINDS = [
    *(pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.null(), pa.date32(), pa.date64()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(4), pa.decimal128(9, 2), pa.decimal128(38, 0)),
    *(pa.timestamp(unit, zone) for unit in UNITS for zone in (None, "UTC")),
    *(pa.list_(pa.string()), pa.large_list(pa.int64()), pa.list_(pa.list_(pa.string())), pa.list_(pa.string(), 2)),
    *(pa.struct([("a", pa.string())]), pa.map_(pa.string(), pa.string()), pa.dictionary(pa.int8(), pa.string()), pa.time64("us")),
]
READERS = {
    "texts": values.texts,
    "numbers": values.numbers,
    "wholes": values.wholes,
    "flags": values.flags,
    "photos": values.photos,
    "names": lambda column: values.names(column, ">"),
    "moments": Clock("Asia/Tokyo", "ms").moments,
    "told": Clock("UTC", None).told,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_empty_column_tells_whether_its_type_fits(reader, kind):
    """As the plan of a file asks, before a row is read; and what fits holds nulls too."""
    empty, nulls = values.plain(pa.nulls(0, kind)), values.plain(pa.nulls(2, kind))
    try:
        READERS[reader](empty)
    except MisfitError:
        with pytest.raises(MisfitError):
            READERS[reader](nulls)
    else:
        assert len(READERS[reader](nulls)) == 2


@given(numbers=st.lists(NUMBERS), unit=st.sampled_from(UNITS), zone=st.sampled_from(ZONES))
def test_a_time_of_any_unit_comes_back_as_the_nearest_that_can_be_said(numbers, unit, zone):
    for column in (pa.array(numbers, pa.timestamp(unit, "UTC")), pa.array(numbers, pa.timestamp(unit)), pa.array(numbers, pa.int64())):
        found = Clock(zone, unit).moments(column).to_pylist()
        assert [one is None for one in found] == [one is None for one in numbers]
        assert all(dt.datetime.min.year <= one.year <= dt.datetime.max.year for one in found if one)


@settings(max_examples=60)
@given(time=st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2036, 1, 1)), zone=st.sampled_from(ZONES))  # Arrow knows no rules beyond 2037
def test_a_wall_clock_time_is_the_same_moment_as_text_and_as_timestamp(time, zone):
    time = time.replace(second=0, microsecond=0, minute=0, hour=12)  # no clock is put forward or back at noon
    clock = Clock(zone, None)
    (of_timestamp,), (of_text,) = clock.told(pa.array([time], pa.timestamp("ms"))), clock.told(pa.array([time.isoformat()]))
    assert of_timestamp == of_text


def test_the_first_of_two_like_hours_is_meant_and_of_a_left_out_hour_its_end():
    clock = Clock("Europe/Berlin", None)
    twice, never = dt.datetime(2026, 10, 25, 2, 30), dt.datetime(2026, 3, 29, 2, 30)
    assert clock.told(pa.array([twice, never], pa.timestamp("us"))) == [
        dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC),
        dt.datetime(2026, 3, 29, 1, 0, tzinfo=dt.UTC),
    ]


def test_dates_numbers_and_text_that_is_no_time():
    clock = Clock("Asia/Tokyo", "s")
    day = dt.date(2026, 3, 1)
    midnight = dt.datetime(2026, 2, 28, 15, tzinfo=dt.UTC)
    assert clock.told(pa.array([day, None], pa.date64())) == [midnight, None]
    assert clock.told(pa.array([day], pa.date32())) == [midnight]
    assert clock.told(pa.array([60], pa.uint16())) == [dt.datetime(1970, 1, 1, 0, 1, tzinfo=dt.UTC)]
    assert clock.told(pa.array(["soon", " 2026-03-01 ", "", None])) == ["soon", midnight, "", None]
    assert clock.moments(pa.array(["soon", "2026-03-01", None])).to_pylist() == [None, midnight, None]
    with pytest.raises(MisfitError, match="time_unit"):
        Clock("UTC", None).moments(pa.array([1]))


def test_ids_have_one_text_whatever_their_type():
    for kind in (pa.int64(), pa.uint8(), pa.float16(), pa.float32(), pa.float64()):
        assert values.strings(pa.array([17, None], kind)) == ["17", None]
    for text in ("17", b"17"):
        assert values.strings(pa.array([text, None])) == ["17", None]
    floats = [pa.array([one]) for one in (1.5, 2.0**53, math.inf, math.nan)]
    for column in (*floats, pa.array([2.0**24], pa.float32()), pa.array([True])):
        with pytest.raises(MisfitError):
            values.texts(column)


def test_flags_numbers_and_whole_numbers():
    assert values.flags(pa.array([0, 1, None], pa.int8())).to_pylist() == [False, True, None]
    assert values.numbers(pa.array([2**60], pa.int64())).to_pylist() == [float(2**60)]
    assert values.wholes(pa.array([3.0, None])).to_pylist() == [3, None]
    for misfit in (
        lambda: values.flags(pa.array([2])),
        lambda: values.wholes(pa.array([2**64 - 1], pa.uint64())),
        lambda: values.numbers(pa.array(["1"])),
    ):
        with pytest.raises(MisfitError):
            misfit()


def test_words_are_exchanged_whole_and_others_stay():
    found = values.worded(values.texts(pa.array(["a", "ab", None, "é", "a"])), {"a": "x", "é": "e"})
    assert values.strings(found) == ["x", "ab", None, "e", "x"]
