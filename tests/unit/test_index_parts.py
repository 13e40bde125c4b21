import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadState
from components.neighbours import IndexConfig
from components.serve.index.embedded import codec
from components.serve.index.embedded.base import build
from components.serve.index.embedded.columns import Columns
from components.serve.items import Filters, Placed
from tests.serve.index_stores import item, nearest, recall, rows_of, unit

NAMES = st.sampled_from(["a", "b", "a,b", "果物", "'", ""])
PATHS = st.lists(NAMES, max_size=3).map(tuple)
PRICES = st.one_of(st.sampled_from([0.0, 1.0, 2.5]), st.floats(0, 10))
FILTERS = st.builds(
    Filters,
    category=PATHS,
    min_price=st.none() | PRICES,
    max_price=st.none() | PRICES,
    status=st.frozensets(st.sampled_from(["on_sale", "sold", "lost"]), max_size=2),
)
LISTINGS = st.lists(st.tuples(PATHS, PRICES, st.sampled_from(["on_sale", "sold"]), st.booleans()), max_size=30)


@given(listings=LISTINGS, filters=FILTERS)
def test_columns_admit_what_the_filters_admit_of_what_is_alive(listings, filters):
    columns, wanted = Columns(), []
    for n, (category, price, status, stays) in enumerate(listings):
        one = item(f"i{n}", category=category, price=price, status=status)
        columns.append(one, 0.5)
        if not stays:
            columns.remove(one.item_id)
        wanted.append(stays and filters.admit(one))
    assert columns.admitted(filters, columns.alive[: columns.count]).tolist() == wanted


def test_columns_grow_and_keep_one_slot_an_item():
    columns = Columns()
    for n in range(1000):
        columns.append(item(f"i{n % 600}", price=float(n)), n / 1000)
        columns.append_dead()
    assert len(columns.slot_of) == 600
    assert columns.count == 2000
    assert columns.num_dead == 1400
    assert columns.prices[columns.slot_of["i7"]] == 607
    assert columns.items[columns.slot_of["i7"]].price == 607
    assert columns.alive[: columns.count].sum() == 600


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])),
    time=st.datetimes(timezones=st.just(dt.UTC)),
    price=st.floats(allow_nan=False, allow_infinity=False),
    score=st.floats(0, 1),
)
def test_an_item_comes_back_from_its_bytes_as_it_was(text, time, price, score):
    row = Placed(item("i", title=text, category=(text, "x"), created_at=time, updated_at=time, price=price, stats=None), unit(1)[0], score)
    assert codec.from_bytes(codec.to_bytes(row)) == (row.item, score)
    np.testing.assert_array_equal(codec.vector_from_bytes(codec.vector_to_bytes(row.vector)), row.vector)


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_row_is_found(at, bit):
    kept = bytearray(codec.to_bytes(Placed(item("i"), unit(1)[0], 0.5)))
    kept[at % len(kept)] ^= 1 << bit
    with pytest.raises(BadState):
        codec.from_bytes(bytes(kept))


CELLS = IndexConfig(flat_below=100, num_cells=64, num_probes=2)


def test_long_answers_are_as_complete_as_short_ones():
    rows = rows_of(unit(20_000, 32))
    vectors = np.array([row.vector for row in rows])
    base = build(32, len(rows), lambda places: vectors[places], CELLS)
    queries = unit(40, 32)
    for k in (1, 10, 100):
        found = [[rows[slot].item.item_id for slot in base.nearest(query, k, None)[1]] for query in queries]
        assert recall(found, [nearest(rows, query, k) for query in queries]) >= 0.97, k


def test_centroids_are_kept_until_half_as_many_vectors_have_come_as_they_were_trained_on():
    vectors = unit(4000, 16)

    def grown(before, count: int, num_new: int):
        return build(16, count, lambda places: vectors[places], CELLS, before, num_new)

    first = build(16, 1000, lambda places: vectors[places], CELLS)
    second = grown(first, 1300, 300)
    third = grown(second, 1600, 300)
    assert (first.trained_on, first.added) == (1000, 0)
    assert (second.trained_on, second.added) == (1000, 300)
    np.testing.assert_array_equal(second.centroids, first.centroids)
    assert (third.trained_on, third.added) == (1600, 0)
    assert third.count == 1600


def test_equal_vectors_build_equal_cells():
    vectors = unit(2000, 16)
    one, two = (build(16, 2000, lambda places: vectors[places], CELLS) for _ in range(2))
    np.testing.assert_array_equal(one.cell_of, two.cell_of)
    np.testing.assert_array_equal(one.centroids, two.centroids)
