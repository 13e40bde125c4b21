"""Intervals over clusters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate.bootstrap import cluster_estimates


def estimate(values, clusters, **knobs):
    columns = np.asarray(values, float)
    columns = columns if columns.ndim == 2 else columns[:, None]
    return cluster_estimates(columns, np.asarray(clusters), **{"num_draws": 300, "seed": 0, **knobs})


def test_the_value_is_the_mean_over_queries_and_large_clusters_weigh_more():
    (e,) = estimate([1, 1, 1, 0], ["a", "a", "a", "b"])
    assert (e.value, e.num_values, e.num_clusters) == (0.75, 4, 2)


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_rows():
    rng = np.random.default_rng(1)
    values, clusters, order = rng.random(60), rng.integers(0, 12, 60), rng.permutation(60)
    (one,), (other,) = estimate(values, clusters), estimate(values[order], clusters[order])
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)
    assert estimate(values, clusters, seed=1)[0].low != one.low


def test_queries_that_repeat_their_cluster_do_not_narrow_the_interval():
    rng = np.random.default_rng(2)
    values = rng.random(30)
    (once,) = estimate(values, np.arange(30))
    (tenfold,) = estimate(np.repeat(values, 10), np.repeat(np.arange(30), 10))
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))
    assert tenfold.num_values == 300


def test_a_difference_of_two_columns_has_the_paired_interval():
    rng = np.random.default_rng(3)
    hard = rng.random(200)
    noisy = hard + 0.05 + 0.01 * rng.standard_normal(200)
    a, b, difference = estimate(np.stack([noisy, hard, noisy - hard], axis=1), np.arange(200))
    assert difference.value == pytest.approx(a.value - b.value)
    assert difference.low > 0
    assert difference.high - difference.low < (a.high - a.low) / 5


def test_missing_values_are_left_out_and_an_empty_column_has_no_estimate():
    some, none = estimate([[1, np.nan], [np.nan, np.nan], [3, np.nan]], ["a", "b", "c"])
    assert (some.value, some.num_values, some.num_clusters) == (2, 2, 2)
    assert none is None
    assert estimate(np.zeros((0, 2)), []) == [None, None]


def test_one_cluster_says_nothing_about_others():
    (e,) = estimate([0, 1], ["a", "a"])
    assert (e.low, e.value, e.high, e.num_clusters) == (0.5, 0.5, 0.5, 1)


def test_an_interval_is_the_same_drawn_in_one_block_or_in_many(monkeypatch):
    values, clusters = np.arange(50.0), np.arange(50)
    (whole,) = estimate(values, clusters)
    monkeypatch.setattr("components.evaluate.bootstrap.CELLS_A_BLOCK", 101)
    assert estimate(values, clusters)[0] == whole


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(200):
        means = rng.normal(0.5, 0.1, 40)
        values = means[:, None] + rng.normal(0, 0.05, (40, 5))
        (e,) = estimate(values.ravel(), np.repeat(np.arange(40), 5))
        held += e.low <= 0.5 <= e.high
    assert 180 <= held <= 198


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=30))
def test_an_interval_stays_within_what_was_seen(rows):
    values, clusters = zip(*rows, strict=True)
    (e,) = estimate(values, clusters, num_draws=100)
    assert min(values) - 1e-9 <= e.low <= e.high <= max(values) + 1e-9
