"""One scale for all series, and the threshold that a budget sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.judging.surprise import DAYS_A_QUARTER, Scale

NAMES = tuple(name for name in ("one", "two", "three") for _ in range(20))


def deviations(num: int, seed: int, names=NAMES, together: float = 0.5) -> np.ndarray:
    """Of quiet windows: normal, half of them what all series share; detector two's have heavier tails."""
    rng = np.random.default_rng(seed)
    z = np.sqrt(together) * rng.normal(size=(num, 1)) + np.sqrt(1 - together) * rng.normal(size=(num, len(names)))
    heavy = np.array(names) == "two"
    z[:, heavy] *= np.sqrt(3 / rng.chisquare(5, (num, heavy.sum())))
    return z


SCALE = Scale.of(deviations(90, 1), NAMES)


def test_a_surprise_of_t_comes_once_in_ten_to_the_t_windows():
    shares = []
    for seed in range(12):
        scale, later = Scale.of(deviations(90, seed), NAMES), deviations(300, 100 + seed)
        most = np.array([np.max(scale.surprise(z, NAMES)) for z in later])
        shares.append([np.mean(most >= t) for t in (0.5, 1.0, 1.5, 2.0)])
    assert np.mean(shares, axis=0) == pytest.approx([10**-0.5, 0.1, 10**-1.5, 0.01], rel=0.8)


@settings(max_examples=100)
@given(st.floats(0, 100), st.floats(0, 100), st.sampled_from(["one", "two", "three"]))
def test_what_lies_farther_off_is_no_less_surprising(one: float, other: float, name: str):
    near, far = sorted([one, other])
    found = SCALE.surprise(np.array([near, far, -far]), (name,) * 3)
    assert found[0] <= found[1] == found[2]
    assert found[0] >= 0


def test_a_detector_with_heavier_tails_must_lie_farther_off():
    light, heavy = SCALE.surprise(np.array([6.0, 6.0]), ("one", "two"))
    assert light > heavy


@given(st.floats(0.05, 20), st.floats(0.05, 20))
def test_who_bears_more_false_pages_is_called_no_later(one: float, other: float):
    fewer, more = sorted([one, other])
    assert SCALE.threshold(fewer) >= SCALE.threshold(more)


@given(st.floats(0.05, 20))
def test_the_threshold_keeps_the_upper_limit_within_the_budget(budget: float):
    threshold = SCALE.threshold(budget)
    assert SCALE.rate(threshold) < SCALE.rate_upper(threshold) <= budget * (1 + 1e-9)


def test_with_more_history_the_threshold_comes_down_to_the_budget():
    short, long = (Scale.of(deviations(num, 3), NAMES).threshold(1.0) for num in (30, 2000))
    assert short > long > np.log10(DAYS_A_QUARTER)
    assert long < np.log10(DAYS_A_QUARTER) + 0.25


def test_parts_on_the_other_side_say_nothing():
    found = SCALE.of_parts(np.array([[4.0], [-4.0], [np.nan]]), ("one",))[:, 0]
    assert found[0] > 1
    assert found[1] == 0
    assert np.isnan(found[2])


def test_windows_of_which_nothing_is_known_do_not_count():
    z = np.vstack([deviations(60, 4), np.full((5, len(NAMES)), np.nan)])
    assert Scale.of(z, NAMES).num_windows == 60


def test_series_that_never_moved_have_a_scale_all_the_same():
    scale = Scale.of(np.zeros((60, 3)), ("one", "two", "three"))
    found = scale.surprise(np.array([0.0, 1.0, 50.0]), ("one", "two", "three"))
    assert np.isfinite(found).all()
    assert found[0] == 0 < found[2]
