"""Distances between two samples of one number, held to scipy and to what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitoring.detectors.weighted import Weighted, beats, ks, psi, total_variation, wasserstein

NUMBERS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40)
COUNTED = st.lists(st.tuples(st.floats(-10, 10, width=16), st.integers(1, 4)), min_size=1, max_size=20)
DISTANCES = {"ks": ks, "wasserstein": wasserstein, "psi": lambda one, other: psi(one, other, 5)}


def sample(values, weights=None):
    return Weighted.of(np.array(values, float), None if weights is None else np.array(weights, float))


@given(NUMBERS)
def test_a_sample_lies_at_no_distance_from_itself(values):
    one = sample(values)
    assert {name: distance(one, one) for name, distance in DISTANCES.items()} == dict.fromkeys(DISTANCES, 0.0)
    assert beats(one, one) == pytest.approx(0.5)


@given(NUMBERS, NUMBERS)
def test_both_orders_are_equally_far(one, other):
    one, other = sample(one), sample(other)
    assert ks(one, other) == pytest.approx(ks(other, one))
    assert wasserstein(one, other) == pytest.approx(wasserstein(other, one))
    assert beats(one, other) == pytest.approx(1 - beats(other, one))


@given(COUNTED, COUNTED)
def test_a_weight_of_three_is_the_row_three_times(one, other):
    weighed = [sample(*zip(*rows, strict=True)) for rows in (one, other)]
    repeated = [sample([value for value, times in rows for _ in range(times)]) for rows in (one, other)]
    for distance in (*DISTANCES.values(), beats):
        assert distance(*weighed) == pytest.approx(distance(*repeated), abs=1e-9)


@pytest.mark.filterwarnings("ignore:divide by zero")  # of a p-value that is not taken
@given(COUNTED, COUNTED)
def test_they_say_what_scipy_says(one, other):
    (a, wa), (b, wb) = (zip(*rows, strict=True) for rows in (one, other))
    assert wasserstein(sample(a, wa), sample(b, wb)) == pytest.approx(stats.wasserstein_distance(a, b, wa, wb), abs=1e-9)
    repeated = [[value for value, times in rows for _ in range(times)] for rows in (one, other)]
    assert ks(sample(a, wa), sample(b, wb)) == pytest.approx(stats.ks_2samp(*repeated, method="asymp").statistic)


@given(NUMBERS, st.floats(0.125, 5), st.floats(1, 4))
def test_what_moves_farther_lies_farther(values, step, times):
    one, near, far = (sample(np.array(values) + by) for by in (0, step, step * times))
    assert wasserstein(one, far) >= wasserstein(one, near)
    assert ks(one, far) >= ks(one, near)
    assert beats(one, far) >= beats(one, near) >= 0.5


def test_wasserstein_is_how_far_rows_moved():
    assert wasserstein(sample([1, 2, 3]), sample([1.5, 2.5, 3.5])) == pytest.approx(0.5)


def test_psi_of_shares_that_moved_is_the_textbook_sum():
    before, now = [0.1] * 10, [0.28] + [0.08] * 9
    values = np.repeat(np.arange(10.0), 100)
    moved = np.repeat(np.arange(10.0), [280] + [80] * 9)
    textbook = sum((q - p) * np.log(q / p) for p, q in zip(before, now, strict=True))
    assert psi(sample(values), sample(moved), 10) == pytest.approx(textbook, rel=0.05)


@pytest.mark.parametrize("to", [0.4, 0.6])
def test_psi_sees_a_constant_that_moves_up_or_down(to):
    assert psi(sample([0.5] * 50), sample([to] * 50), 10) > 1


def test_psi_stays_finite_where_a_bin_is_empty():
    assert np.isfinite(psi(sample(np.arange(100)), sample([1e9]), 10))


def test_missing_numbers_and_rows_that_stand_for_nothing_are_left_out():
    found = sample([1, np.nan, 2, np.inf, 3], [1, 1, 0, 1, 2])
    assert (found.value_N.tolist(), found.weight_N.tolist()) == ([1, 3], [1, 2])


def test_the_larger_half_of_ties_counts_half():
    assert beats(sample([1, 2]), sample([2, 3])) == pytest.approx(3.5 / 4)


def test_total_variation_is_the_share_that_changed_places():
    assert total_variation(np.array([0.5, 0.5, 0]), np.array([0.4, 0.5, 0.1])) == pytest.approx(0.1)
