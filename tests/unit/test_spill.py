from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ingest.spill import ROWS_A_CHUNK, RowSpill

TIMES = st.datetimes(timezones=st.just(UTC))
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | TIMES | st.lists(st.text(), max_size=3)
ROWS = st.dictionaries(st.sampled_from(["title", "price", "created_at", "category"]), VALUES)


@given(rows=st.lists(st.tuples(st.integers(0, 2), ROWS), max_size=20))
def test_each_shard_gives_back_its_rows_in_the_order_they_came(tmp_path_factory, rows):
    spill = RowSpill(tmp_path_factory.getbasetemp(), 3)
    for shard, row in rows:
        spill.add(shard, row)
    assert [spill.shard(index) for index in range(3)] == [[row for shard, row in rows if shard == index] for index in range(3)]


def test_more_rows_than_a_chunk_holds_come_back_too(tmp_path):
    spill = RowSpill(tmp_path, 1)
    for number in range(2 * ROWS_A_CHUNK + 1):
        spill.add(0, number)
    assert spill.shard(0) == list(range(2 * ROWS_A_CHUNK + 1))


def test_what_is_no_plain_value_is_refused(tmp_path):
    spill = RowSpill(tmp_path, 1)
    spill.add(0, {"picture": b"bytes"})
    with pytest.raises(TypeError, match="bytes is no plain value"):
        spill.shard(0)
