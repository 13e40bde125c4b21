"""Records as bytes and back: whatever the local log takes can be written out, and says the same."""

import datetime as dt
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadData
from components.serve.log.rows import BLOBS, TABLES, Record, encode, parquet_of, table_of
from components.serve.problems import Refused

CLICK = {"event_id": "e", "request_id": "r", "item_id": "i", "ts": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "action": "click"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))


def values(field):
    """What a column of the kind can hold."""
    kind = field.type
    if pa.types.is_string(kind):
        found = TEXT
    elif pa.types.is_timestamp(kind):
        found = TIMES
    elif pa.types.is_boolean(kind):
        found = st.booleans()
    elif pa.types.is_integer(kind):
        found = st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    elif pa.types.is_floating(kind):
        found = st.floats(allow_nan=False, allow_infinity=False, width=kind.bit_width)
    elif pa.types.is_binary(kind):
        found = st.binary(max_size=50)
    elif pa.types.is_floating(kind.value_type):
        found = st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=4).map(lambda vector: np.array(vector, np.float32))
    else:
        found = st.lists(TEXT, max_size=3)
    return found | st.none() if field.nullable else found


def records(table):
    row = st.fixed_dictionaries({field.name: values(field) for field in TABLES[table]})
    return st.builds(Record, TEXT, st.just(table), st.lists(row, min_size=1, max_size=3))


def told(value):
    return [float(one) for one in value] if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data())
def test_whatever_rows_are_let_in_come_out_of_the_file_as_they_were(table, data):
    sent = data.draw(st.lists(records(table), min_size=1, max_size=4))
    _, kept, blobs = zip(*(row for record in sent for row in encode(record).rows), strict=True)
    file = parquet_of(table_of(table, kept, blobs))
    found = pq.read_table(io.BytesIO(file))
    assert found.schema.equals(TABLES[table])
    for sent_row, row in zip((row for record in sent for row in record.rows), found.to_pylist(), strict=True):
        assert row == {name: told(value) for name, value in sent_row.items()}


def test_equal_rows_make_equal_bytes():
    ((_, row, _),) = encode(Record("e", "clicks", [CLICK])).rows
    assert len({parquet_of(table_of("clicks", [row] * 5, [None] * 5)) for _ in range(3)}) == 1


def test_a_row_longer_than_any_buffer_comes_back_whole():
    long = "x" * 5_000_000
    ((_, row, _),) = encode(Record("e", "clicks", [CLICK | {"item_id": long}])).rows
    assert table_of("clicks", [row] * 3, [None] * 3)["item_id"].to_pylist() == [long] * 3


@pytest.mark.parametrize("number", [float("nan"), float("inf"), True, "3", 10**400])
def test_a_number_that_is_none_is_refused(number):
    row = dict.fromkeys(("event_id", "request_id", "surface", "platform", "user_id", "item_id", "release_id"), "x")
    row |= {"ts": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "position": 0, "price": 1.0}
    assert encode(Record("e", "impressions", [row])).rows
    with pytest.raises(Refused, match="invalid: price"):
        encode(Record("e", "impressions", [row | {"price": number}]))


@pytest.mark.parametrize("vector", [np.array([np.nan]), np.zeros((2, 2)), [0.5], None])
def test_a_vector_that_is_none_is_refused(vector):
    row = {"ts": dt.datetime.now(dt.UTC), "request_id": "r", "route": "x", "release_id": "r", "fingerprint": "f", "latency_ms": 1.0}
    with pytest.raises(Refused, match="vector"):
        encode(Record(None, "predictions", [row | {"vector": vector}]))
    assert encode(Record(None, "predictions", [row | {"vector": np.ones(2)}])).rows[0][2]


@pytest.mark.parametrize("row", [b"{}", b"no json", b'{"request_id": 3}', b'{"request_id":"r"}\n{"request_id":"r"}'])
def test_rows_that_do_not_fit_their_table_are_told_of(row):
    with pytest.raises(BadData, match="clicks"):
        table_of("clicks", [row], [None])


def test_every_blob_is_a_column_of_its_table():
    assert all(name in TABLES[table].names for table, name in BLOBS.items())
