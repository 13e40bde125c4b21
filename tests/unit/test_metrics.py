"""nDCG and precision, on rankings small enough to check by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.metrics import all_metrics, ndcg_at, precision_at

rankings = st.lists(st.booleans(), min_size=1, max_size=8)


def ndcg(k, hits, num_relevant):
    return ndcg_at(k, np.array([hits], bool), np.array([num_relevant]))[0]


def test_a_hit_at_rank_two_of_one_relevant_item_is_worth_one_over_log2_of_three():
    assert ndcg(5, [0, 1, 0, 0, 0], 1) == pytest.approx(1 / np.log2(3))


def test_the_best_ranking_is_worth_one_however_many_items_are_relevant():
    assert ndcg(5, [1, 1, 0, 0, 0], 2) == pytest.approx(1)
    assert ndcg(5, [1, 1, 1, 1, 1], 200) == pytest.approx(1)


def test_a_hit_below_the_fifth_rank_is_worth_nothing():
    assert ndcg(5, [0, 0, 0, 0, 0, 1], 1) == 0


def test_a_query_with_nothing_to_find_has_no_value():
    assert np.isnan(all_metrics(np.zeros((1, 5), bool), np.array([0]))).all()


def test_precision_divides_by_k_even_where_fewer_than_k_items_are_relevant():
    assert precision_at(3, np.array([[True, False, False]]), np.array([1]))[0] == pytest.approx(1 / 3)
    assert precision_at(3, np.array([[True]]), np.array([1]))[0] == pytest.approx(1 / 3)


def test_columns_are_ndcg_at_5_then_precision_at_1_and_3():
    hits = np.array([[False, True, True, False, False, True]])
    gain = (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3) + 1 / np.log2(4))
    assert all_metrics(hits, np.array([3]))[0] == pytest.approx([gain, 0, 2 / 3])


@given(rankings, st.integers(0, 5))
def test_ndcg_lies_between_none_and_all(hits, more_relevant):
    assert 0 <= ndcg(5, hits, sum(hits) + more_relevant + 1) <= 1


@given(rankings, st.data())
def test_moving_a_hit_up_never_lowers_ndcg(hits, data):
    place = data.draw(st.integers(0, len(hits) - 1))
    moved = [hits[place], *hits[:place], *hits[place + 1 :]] if hits[place] else hits
    assert ndcg(5, moved, max(sum(hits), 1)) >= ndcg(5, hits, max(sum(hits), 1)) - 1e-12
