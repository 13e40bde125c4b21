"""Means of features by segment: with sign, in the reference's spreads."""

import numpy as np
import pytest

from monitoring.detectors.means import NUMBERS, Scale, means
from monitoring.detectors.measure import Baseline, Comparison, compare
from monitoring.extras import Extras
from monitoring.window import ALL
from tests.monitoring.detectors.shop import changed, columns_of, make_config, make_window, taken, with_weight

CFG = make_config()
REFERENCE = make_window(600, seed=1)
BASELINE = Baseline.of(REFERENCE, CFG, 0)


def compared(window) -> Comparison:
    return compare(BASELINE, window, Extras(), Extras())


def mean_of(found: Comparison, name: str, segment: str = ALL) -> float:
    return float(found.means[segment][found.scale.names.index(name)])


def test_the_reference_lies_at_zero_with_a_spread_of_one():
    found = compared(REFERENCE)
    assert found.means[ALL][: len(NUMBERS)] == pytest.approx(np.zeros(len(NUMBERS)), abs=1e-9)
    values = found.scale.rows(BASELINE.parts[ALL])
    assert np.nanstd(values[:, :3], axis=0) == pytest.approx(np.ones(3), rel=1e-6)


@pytest.mark.parametrize("by", [-0.2, 0.2])
def test_a_step_keeps_its_sign_and_stays_in_its_segment(by: float):
    rows = columns_of(make_window(900, seed=2))
    here = np.array(rows["app_version"]) == "3.4.0"
    moved = changed(make_window(900, seed=2), brightness=np.array(rows["brightness"], float) + by * here)
    before, now = compared(make_window(900, seed=2)), compared(moved)
    spread = float(now.scale.spread_F[now.scale.names.index("brightness")])
    step = mean_of(now, "brightness", "app_version=3.4.0") - mean_of(before, "brightness", "app_version=3.4.0")
    assert step == pytest.approx(by / spread, rel=1e-4)
    assert mean_of(now, "brightness", "app_version=3.5.0") == pytest.approx(mean_of(before, "brightness", "app_version=3.5.0"))


def test_weights_count_as_rows_and_the_order_does_not():
    window = make_window(300, seed=3)
    times = np.random.default_rng(0).integers(1, 4, 300)
    repeated = taken(window, np.repeat(np.arange(300), times))
    shuffled = taken(repeated, np.random.default_rng(1).permutation(len(repeated.weight)))
    once, often = compared(with_weight(window, times.astype(float))), compared(shuffled)
    assert once.num_rows == pytest.approx(often.num_rows)
    assert once.means[ALL] == pytest.approx(often.means[ALL], abs=1e-5)


def test_what_is_missing_is_left_out_and_what_is_missing_everywhere_is_no_number():
    rows = columns_of(make_window(300, seed=4))
    half = [None if number % 2 else value for number, value in enumerate(rows["brightness"])]
    some = compared(changed(make_window(300, seed=4), brightness=half))
    kept = np.mean([value for value in half if value is not None])
    place = some.scale.names.index("brightness")
    assert mean_of(some, "brightness") == pytest.approx((kept - some.scale.mean_F[place]) / some.scale.spread_F[place], rel=1e-4)
    none = compared(changed(make_window(300, seed=4), brightness=[None] * 300))
    assert np.isnan(mean_of(none, "brightness"))


def test_a_segment_that_the_reference_has_not_has_means_and_a_small_one_has_none():
    rows = columns_of(make_window(300, seed=5))
    values = ["9.0.0"] * 60 + ["9.1.0"] * 10 + list(rows["app_version"])[70:]
    found = compared(changed(make_window(300, seed=5), app_version=values))
    assert np.isfinite(found.means["app_version=9.0.0"]).all()
    assert "app_version=9.1.0" not in found.means
    assert found.num_rows["app_version=9.1.0"] == 10


def test_without_vectors_the_numbers_are_left():
    blind = changed(REFERENCE, vectors=np.full_like(REFERENCE.vectors, np.nan))
    scale = Scale.of(Baseline.of(blind, CFG, 0).parts[ALL])
    assert scale.names == tuple(NUMBERS)
    assert means(scale, {}, []) == {}
