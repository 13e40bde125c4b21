"""How a shop's rows are spread over files, row groups and pages decides nothing: the outs are the same, byte for byte."""

import dataclasses
from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.events_shop import at, click, page, photo
from tests.data.tables_shop import Shop, listing, number_of, put, put_photos, table
from tests.data.test_ingest import bytes_of

FAULTS = [
    {},
    {},
    {},
    {"name": ""},
    {"price": -1.0},
    {"photo": "none.jpg"},
    {"photo": "../x.jpg"},
    {"c0_name": None},
    {"data": photo(1)},
]


@st.composite
def listings(draw):
    """Rows of few items, some at fault, some twice, some with a photo in the row."""
    numbers = draw(st.lists(st.integers(0, 7), min_size=3, max_size=10))
    rows = [*(listing(n, price=float(draw(st.integers(5, 6))), data=None) for n in numbers)]
    sound, nameless = listing(8, price=1.5, data=None), [listing(n, id=None, price=2.5, data=None) for n in (1, 2)]
    return [sound, *nameless, *(row | draw(st.sampled_from(FAULTS)) for row in rows)]


@st.composite
def writings(draw, rows):
    """The rows in files: any order, any cut, any row groups and pages."""
    whole = table(rows, data=pa.binary(), photo=pa.string())
    whole = whole.take(draw(st.permutations(range(len(rows)))))
    cuts = sorted({0, len(rows), *draw(st.lists(st.integers(0, len(rows)), max_size=3))})
    how = {
        "row_group_size": draw(st.integers(1, len(rows))),
        "use_dictionary": draw(st.booleans()),
        "compression": draw(st.sampled_from(["none", "zstd"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "write_batch_size": draw(st.integers(1, 4)),
    }
    return [(whole.slice(start, end - start), how) for start, end in pairwise(cuts)]


def written(shop, table_name, files, places):
    for number, (rows, how) in enumerate(files):
        put(shop.tables, f"{table_name}/{places[number % len(places)]}part-{number}.parquet", rows, **how)


@settings(max_examples=20)
@given(data=st.data(), rows=listings())
def test_however_a_table_is_written_the_outs_are_the_same_bytes(tmp_path_factory, data, rows):
    shown = [number_of(row) for row in [*page(1, [0, 1, 2]), *page(2, [3, 4]), *page(3, [0, 5], at(3))]]
    clicks = [number_of(row) for row in (click(1, 1), click(2, 4), click(9, 9))]
    with_log = data.draw(st.booleans())
    outs, summaries = [], []
    for name in ("one", "other"):
        shop = Shop(tmp_path_factory.mktemp(name))
        put_photos(shop.tables, range(9))
        written(shop, "listings", data.draw(writings(rows)), data.draw(st.permutations(["", "a/", "b/c/"])))
        shop.set(tables={"listings": {"picture": "data"}})
        if with_log:
            put(shop.tables, "shown/a.parquet", table(shown).take(data.draw(st.permutations(range(len(shown))))), row_group_size=2)
            put(shop.tables, "clicks/a.parquet", table(clicks).take(data.draw(st.permutations(range(len(clicks))))))
            shop.set(tables={"impressions": {"at": "shown"}, "clicks": {"at": "clicks"}})
        summaries.append(dataclasses.asdict(shop.take()))
        outs.append(bytes_of(shop.out))
    assert outs[0] == outs[1]
    assert summaries[0] == summaries[1]
