"""Forecasts and spreads, on series of numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.judging.forecast import Windows, forecasts, from_start
from monitoring.judging.spread import Spread, medians
from tests.monitoring.judging.days import make_config

CFG = make_config().day
LEVEL = CFG.level_windows


def windows(num: int, quiet=None, anew=()) -> Windows:
    fresh = np.zeros(num, bool)
    fresh[list(anew)] = True
    return Windows(np.arange(num) % 7, np.ones(num, bool) if quiet is None else np.asarray(quiet, bool), fresh)


def forecast(values, **changes) -> np.ndarray:
    values = np.asarray(values, float)
    table = values[:, None] if values.ndim == 1 else values
    found = forecasts(table, np.full(table.shape[1], 1e-3), windows(len(table), **changes), CFG)
    return found[:, 0] if values.ndim == 1 else found


NUMBERS = st.lists(st.floats(-10, 10), min_size=20, max_size=40)


@settings(max_examples=40)
@given(NUMBERS, st.integers(8, 19), st.floats(-1000, 1000))
def test_no_forecast_knows_what_came_after(values: list[float], at: int, other: float):
    changed = [*values[:at], *(other for _ in values[at:])]
    assert np.array_equal(forecast(values)[: at + 1], forecast(changed)[: at + 1], equal_nan=True)


@settings(max_examples=40)
@given(NUMBERS, st.randoms(use_true_random=False))
def test_a_series_is_forecast_by_itself_alone(values: list[float], random):
    table = np.array([values, values[::-1], np.zeros(len(values))]).T
    order = [0, 1, 2]
    random.shuffle(order)
    assert np.array_equal(forecast(table)[:, order], forecast(table[:, order]), equal_nan=True)


@given(st.floats(-100, 100))
def test_a_constant_is_forecast_as_itself_once_a_level_is_known(value: float):
    found = forecast([value] * 30)
    assert np.isnan(found[:LEVEL]).all()
    assert found[LEVEL:] == pytest.approx(np.full(30 - LEVEL, value))


def test_weekdays_are_learnt():
    rng = np.random.default_rng(0)
    weekly = np.array([0, 0, 0, 0, 0, 0.5, 0.5])[np.arange(210) % 7] + rng.normal(0, 0.1, 210)
    off = np.abs(weekly - forecast(weekly))
    assert off[120:].mean() < 0.1  # 0.08 is chance


def test_the_level_follows_a_season():
    rng = np.random.default_rng(1)
    season = 5 * np.sin(np.arange(365) / 365 * 2 * np.pi) + rng.normal(0, 0.2, 365)
    assert np.abs(season - forecast(season))[60:].mean() < 0.6


def test_one_day_far_off_moves_the_level_little():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 60)
    values[40] = 1000.0
    assert abs(forecast(values)[41]) < 2


def test_windows_that_are_not_quiet_teach_nothing():
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, 60)
    values[30:40] += 50
    quiet = np.ones(60, bool)
    quiet[30:40] = False
    assert np.abs(forecast(values, quiet=quiet)[41:]).max() < 3


def test_a_level_that_is_learnt_anew_forgets_what_was_before():
    values = np.concatenate([np.zeros(30), np.full(20, 9.0)]) + np.random.default_rng(4).normal(0, 0.1, 50)
    found = forecast(values, anew=(30,))
    assert np.isnan(found[30 : 30 + LEVEL]).all()
    assert np.abs(found[30 + LEVEL :] - 9).max() < 0.5


def test_from_the_start_on_is_the_mean_of_the_first_windows_since_levels_were_learnt_anew():
    values = np.arange(20.0)[:, None]
    assert from_start(values, windows(20), 4)[0] == 1.5
    assert from_start(values, windows(20, anew=(10,)), 4)[0] == 11.5
    assert np.isnan(from_start(values, windows(20, anew=(18,)), 4)[0])


def test_the_spread_of_a_normal_is_its_own_and_leaves_the_window_itself_out():
    off = np.random.default_rng(5).normal(0, 2.0, (400, 1))
    off[7] = 30.0
    spread = Spread.of(off, np.zeros(1), 28)
    assert 1.8 < spread.whole_S[0] < 2.3
    assert spread.without_TS[7, 0] < spread.whole_S[0]


def test_a_series_that_never_moves_has_the_least_spread():
    spread = Spread.of(np.zeros((40, 1)), np.array([0.01]), 28)
    assert spread.whole_S[0] == spread.without_TS[3, 0] == 0.01


def test_few_windows_tell_no_spread():
    off = np.full((40, 1), np.nan)
    off[:27] = 1.0
    assert np.isnan(Spread.of(off, np.zeros(1), 28).whole_S[0])


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=30))
def test_medians_are_numbers_of_the_series(values: list[float]):
    there = [value for value in values if value == value]
    found = float(medians(np.array(values)[:, None])[0])
    assert found in there if there else found == 0
