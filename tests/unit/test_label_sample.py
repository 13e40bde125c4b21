"""Which pairs are judged: each pair of items once, every split served, and the same ones next week."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadData
from components.label.sample import SPLITS, both_orders, distinct_pairs, quotas, sample, with_pictures

DAY = datetime(2026, 1, 1, tzinfo=UTC)
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def clicks(*rows):
    """Rows of request, clicked, skipped; all on the train side."""
    columns = ["request_id", "clicked_item", "skipped_item"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row").with_columns(split=pl.lit("train"))


def requests(**queries):
    """Pages in the order given, a day apart."""
    rows = [(name, DAY + timedelta(days=n), query) for n, (name, query) in enumerate(queries.items())]
    return pl.DataFrame(rows, schema=["request_id", "ts", "query"], orient="row")


def candidates(ids, split):
    """Pairs (a-1, b-1) and so on, of one split."""
    rows = [(f"a-{n}", f"b-{n}", split, None, f"a-{n}", f"i-{n}", f"j-{n}") for n in ids]
    columns = ["low_item", "high_item", "split", "query", "clicked_item", "low_image", "high_image"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def test_a_pair_seen_on_three_pages_is_one_pair_and_the_item_clicked_more_often_counts():
    seen = clicks(("r1", "lamp", "cup"), ("r2", "cup", "lamp"), ("r3", "cup", "lamp"))
    rows = distinct_pairs(seen, requests(r1="first", r2="second", r3="third")).rows(named=True)
    assert rows == [{"low_item": "cup", "high_item": "lamp", "split": "train", "query": "first", "clicked_item": "cup"}]


@pytest.mark.parametrize("earlier", ["lamp", "cup"])
def test_level_clicks_go_to_the_earlier_one(earlier):
    later = "cup" if earlier == "lamp" else "lamp"
    seen = clicks(("r2", later, earlier), ("r1", earlier, later))
    assert distinct_pairs(seen, requests(r1=None, r2=None))["clicked_item"].to_list() == [earlier]


def test_the_query_is_the_earliest_so_that_a_new_page_asks_no_new_question():
    seen = clicks(("r2", "lamp", "cup"), ("r9", "lamp", "cup"))
    pages = requests(r9="old words", r2="new words")
    assert distinct_pairs(seen, pages)["query"].to_list() == ["old words"]


def test_pairs_of_an_unknown_page_are_bad_data():
    with pytest.raises(BadData, match="1 of 2 pairs come from pages that impressions does not hold"):
        distinct_pairs(clicks(("r1", "a", "b"), ("r2", "a", "c")), requests(r1=None))


def test_two_items_with_the_very_same_picture_are_not_compared():
    pairs = distinct_pairs(clicks(("r1", "a", "b"), ("r2", "a", "c")), requests(r1=None, r2=None))
    images = pl.DataFrame({"item_id": ["a", "b", "c"], "image_id": ["x", "x", "y"]})
    assert with_pictures(pairs, images).select("low_item", "high_item", "low_image", "high_image").rows() == [("a", "c", "x", "y")]
    with pytest.raises(BadData, match="2 of 2 pairs show items that listings does not hold"):
        with_pictures(pairs, images.filter(pl.col("item_id") != "a"))


def test_a_pair_is_shown_in_both_orders():
    forth, back = both_orders(candidates([1], "val"), with_query=True)
    assert (forth.first_item, forth.second_item, forth.question.first_image) == ("a-1", "b-1", "i-1")
    assert (back.first_item, back.second_item, back.question.first_image) == ("b-1", "a-1", "j-1")
    assert {forth.clicked_item, back.clicked_item} == {"a-1"}


@given(st.fixed_dictionaries(dict.fromkeys(SPLITS, st.integers(0, 60))), st.integers(0, 120))
def test_quotas_use_what_there_is_up_to_the_limit_and_leave_no_split_out(available, max_pairs):
    taken = quotas(available, SHARES, max_pairs)
    assert sum(taken.values()) == min(max_pairs, sum(available.values()))
    assert all(0 <= taken[split] <= available[split] for split in SPLITS)
    if max_pairs >= len(SPLITS):
        assert all(taken[split] > 0 for split in SPLITS if available[split])


def test_shares_hold_where_every_split_has_enough():
    assert quotas({"train": 500, "val": 500, "test": 500}, SHARES, 100) == {"train": 60, "val": 20, "test": 20}


@given(st.sets(st.integers(0, 300), min_size=1, max_size=60), st.sets(st.integers(0, 300), max_size=20), st.integers(1, 30))
def test_new_pairs_only_push_out_as_many_as_they_are(old, new, max_pairs):
    before = set(sample(candidates(sorted(old), "train"), SHARES, max_pairs)["low_item"])
    after = set(sample(candidates(sorted(old | new), "train"), SHARES, max_pairs)["low_item"])
    fresh = {f"a-{n}" for n in new - old}
    assert len(before - after) <= len(after & fresh)
    assert after - fresh <= before


def test_the_order_of_the_rows_changes_nothing():
    pairs = pl.concat([candidates(range(40), "train"), candidates(range(40, 60), "test")])
    assert sample(pairs, SHARES, 25).equals(sample(pairs.reverse(), SHARES, 25))


def test_an_unknown_split_is_bad_data():
    with pytest.raises(BadData, match=r"splits \['holdout'\]"):
        sample(candidates([1], "holdout"), SHARES, 5)
