"""Which listing an item had, and how large its seller was, when a window ended."""

import datetime as dt
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from components.ingest.admit import language_of
from components.objects import FolderStore
from components.schema import EVENTS
from monitoring.buckets import SELLER_SIZES
from monitoring.windows.keys import joined, named
from monitoring.windows.listings import LANGUAGES, MISSING, catalogue_of, languages_of, microseconds

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
NULLABLE = pa.schema([field.with_nullable(True) for field in EVENTS["listings"]])


def upsert(item_id: str, day: float, **changes: object) -> dict[str, object]:
    at = START + day * DAY
    row = {"item_id": item_id, "seller_id": "s-1", "title": "chair", "category": ["Home", "Chairs"], "price": 900.0, "status": "on_sale"}
    return row | {"created_at": at, "updated_at": at, "image_id": "0" * 64} | changes


def catalogue(folder: Path, *files: list[dict[str, object]], until: float = 100, since: float | None = None):
    store = FolderStore(folder)
    for number, rows in enumerate(files):
        pq.write_table(pa.Table.from_pylist(rows, NULLABLE), sink := io.BytesIO())
        store.put(f"events/listings/dt=2026-03-{number + 1:02d}/rows.parquet", sink.getvalue())
    return catalogue_of(store, START + until * DAY, None if since is None else START + since * DAY)


def told(found, item_id: str) -> tuple[str | None, str | None, str | None]:
    """Category, language and seller of the item."""
    one = found.find(named(pa.array([item_id])))
    words = (found.roots, LANGUAGES, found.sellers.to_pylist())
    codes = (one.root[0], one.language[0], one.seller[0])
    return tuple(None if code == MISSING else names[code] for names, code in zip(words, codes, strict=True))


def size(found, seller: str, day: float) -> str:
    place = np.array([found.sellers.to_pylist().index(seller)])
    return SELLER_SIZES[found.seller_sizes(place, np.array([microseconds(START + day * DAY)]))[0]]


def test_the_newest_row_until_the_windows_end_counts_in_whatever_file_it_came(tmp_path):
    files = (
        [upsert("i-1", 0), upsert("i-2", 5, title="椅子", category=["Hobbies"], seller_id=None)],
        [upsert("i-1", 9, category=["Fashion", "Hats"]), upsert("i-1", 2, category=["Electronics"])],
    )
    assert told(catalogue(tmp_path, *files), "i-1") == ("Fashion", "en", "s-1")
    assert told(catalogue(tmp_path, *files, until=8), "i-1") == ("Electronics", "en", "s-1")
    assert told(catalogue(tmp_path, *files, until=1), "i-1") == ("Home", "en", "s-1")
    assert told(catalogue(tmp_path, *files), "i-2") == ("Hobbies", "ja", None)
    assert told(catalogue(tmp_path, *files, until=1), "i-2") == (None, None, None)
    assert told(catalogue(tmp_path, *files), "i-3") == (None, None, None)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from(["a", "b", "c"])), max_size=20), st.integers(1, 4))
def test_neither_order_nor_files_change_the_catalogue(tmp_path_factory, rows, num_files):
    made = [upsert(f"i-{item}", day, category=[root]) for item, day, root in rows]
    one = catalogue(tmp_path_factory.mktemp("one"), made)
    other = catalogue(tmp_path_factory.mktemp("other"), *(made[::-1][number::num_files] for number in range(num_files)))
    for item in range(5):
        assert told(one, f"i-{item}") == told(other, f"i-{item}")


def test_rows_that_say_nothing_of_an_item_or_a_category_harm_nobody(tmp_path):
    found = catalogue(tmp_path, [upsert(None, 1), upsert("i-1", 1, category=[]), upsert("i-2", 1, updated_at=None)])
    assert told(found, "i-1") == (None, "en", "s-1")
    assert told(found, "i-2") == (None, None, None)


def test_bytes_that_are_no_text_harm_nobody(tmp_path):
    raw = pa.table({name: pa.array([value]) for name, value in upsert("i-1", 1).items()})
    title = pa.array([b"\xff chair"], pa.binary()).view(pa.string())
    pq.write_table(raw.set_column(raw.column_names.index("title"), "title", title), sink := io.BytesIO())
    FolderStore(tmp_path).put("events/listings/dt=2026-03-01/rows.parquet", sink.getvalue())
    found = catalogue_of(FolderStore(tmp_path), START + 9 * DAY)
    assert told(found, "i-1") == ("Home", "en", "s-1")


def test_a_sellers_size_is_that_of_when_the_reference_was_made(tmp_path):
    old = [upsert(f"a-{number}", -40, seller_id="s-old") for number in range(5)] + [
        upsert("gone", -40, seller_id="s-old", status="deleted")
    ]
    grown = [upsert(f"b-{number}", 2, seller_id="s-old") for number in range(20)]
    late = [upsert(f"c-{number}", 3, seller_id="s-late") for number in range(12)]
    found = catalogue(tmp_path, old, [*grown, *late], since=1)
    assert size(found, "s-old", 50) == "1-9"
    assert size(found, "s-late", 32) == "new"
    assert size(found, "s-late", 33) == "10-19"
    now = catalogue(tmp_path / "now", old, [*grown, *late])
    assert size(now, "s-old", 50) == "20+"


def test_a_row_without_a_seller_has_no_size(tmp_path):
    assert catalogue(tmp_path, [upsert("i-1", 1)]).seller_sizes(np.array([MISSING]), np.array([0])).tolist() == [MISSING]
    assert catalogue(tmp_path / "none").seller_sizes(np.array([MISSING]), np.array([0])).tolist() == [MISSING]


@given(st.lists(st.text(max_size=8)))
def test_languages_are_those_that_ingest_names(titles):
    found = languages_of(pa.chunked_array([pa.array(titles, pa.string())]))
    assert [LANGUAGES[place] for place in found] == [language_of(title) for title in titles]


@given(st.lists(st.one_of(st.none(), st.text(max_size=12))), st.integers(0, 3))
def test_names_have_numbers_of_their_own_in_any_column(names, start):
    numbers = named(pa.array(names, pa.string()))
    assert len({name for name in names if name is not None}) == len(set(numbers[numbers > 0].tolist()))
    assert np.array_equal(named(pa.array(names, pa.string()).slice(start)), numbers[start:])
    halves = pa.chunked_array([pa.array(names[:2], pa.string()), pa.array(names[2:], pa.string())])
    assert np.array_equal(named(halves), numbers)


def test_numbers_of_names_are_the_same_in_every_process():
    assert named(pa.array(["i-1", "椅子", "", None])).tolist() == [8793794339453941225, 5016900836432632798, 16294208416658607535, 0]
    assert joined(named(pa.array(["a"])), named(pa.array(["b"]))) != joined(named(pa.array(["b"])), named(pa.array(["a"])))
