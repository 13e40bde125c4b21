"""The verdict on a window's input, from what was counted in its files."""

import dataclasses
import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.health import holes, judged
from monitoring.span import day_of
from monitoring.window import Health
from monitoring.windows.counts import ReadCounts
from tests.monitoring.windows.tiny_bundle import windows

DAY = day_of(dt.date(2026, 3, 4))
CFG = windows(min_rows=100, max_bad_share=0.1, hole_rows=20)
OWN, OTHER = "a" * 64, "b" * 64


def counts(**changes) -> ReadCounts:
    """A sound day of 2,400 rows."""
    sound = ReadCounts(DAY, OWN, num_rows=2400, num_written=2400, num_bytes=1000, num_by_hour=np.full(24, 100), releases={OWN: 2400})
    return dataclasses.replace(sound, **changes)


def test_a_sound_day_has_no_problems():
    assert judged(counts(), CFG) == (Health.SOUND, ())


@pytest.mark.parametrize(
    ("changes", "health"),
    [
        ({"num_rows": 99}, Health.TOO_LITTLE),
        ({"num_misplaced": 240}, Health.SOUND),
        ({"num_misplaced": 241}, Health.BROKEN),
        ({"num_lost_bytes": 100, "set_aside": {"k": "torn"}}, Health.SOUND),
        ({"num_lost_bytes": 101, "set_aside": {"k": "torn"}}, Health.BROKEN),
        ({"num_mixed": 267, "releases": {OWN: 2400}}, Health.BROKEN),
        ({"faults": {"vectors of another width": 241}}, Health.BROKEN),
        ({"num_unlisted": 2400}, Health.SOUND),
        ({"num_unlisted": 241, "listings_aside": ("events/listings/x",)}, Health.BROKEN),
        ({"num_repeated": 2400, "repeats": ("x",)}, Health.SOUND),
        ({"num_rows": 0, "releases": {OTHER: 2400}}, Health.TOO_LITTLE),
        ({"num_rows": 0, "num_by_hour": np.zeros(24), "releases": {}, "num_usual": 19}, Health.TOO_LITTLE),
        ({"num_rows": 0, "num_by_hour": np.zeros(24), "releases": {}, "num_usual": 2400}, Health.BROKEN),
        ({"num_rows": 0, "num_by_hour": np.zeros(24), "num_bytes": 0, "set_aside": {"k": "torn"}}, Health.BROKEN),
    ],
)
def test_what_a_problem_costs_decides(changes, health):
    found, problems = judged(counts(**changes), CFG)
    assert found is health
    assert problems


def test_the_worst_problem_is_said_first():
    _, problems = judged(counts(num_repeated=5, num_misplaced=700, faults={"Image Scores outside 0 to 1": 30}), CFG)
    assert [words.split(" ")[0] for words in problems] == ["700", "Image", "5"]


def test_a_broken_input_goes_before_too_little():
    assert judged(counts(num_rows=10, num_misplaced=2300), CFG)[0] is Health.BROKEN


def test_a_hole_is_what_the_hours_around_did_not_lead_one_to_expect():
    by_hour = np.array([50, 0, 0, 70, 10, 0, 10, 0, 0, 30, 0])
    assert list(holes(by_hour, 20)) == [(1, 3, 120), (10, 11, 30)]
    assert list(holes(np.zeros(24), 1)) == []
    assert list(holes(np.array([0, 40, 0]), 20)) == [(0, 1, 40), (2, 3, 40)]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=48), st.integers(1, 100))
def test_hours_with_rows_are_no_holes(by_hour, hole_rows):
    assert list(holes(np.array(by_hour), hole_rows)) == []


def test_a_clock_set_back_by_days_is_told_of_and_costs_no_rows_here():
    back = ((DAY.start + dt.timedelta(days=3), DAY.start + dt.timedelta(hours=5)),)
    assert judged(counts(steps_back=back), CFG)[0] is Health.SOUND
    hours = ((DAY.start + dt.timedelta(hours=9), DAY.start + dt.timedelta(hours=5)),)
    found, problems = judged(counts(steps_back=hours), CFG)
    assert found is Health.BROKEN
    assert problems == ("a clock was set back from 2026-03-04 09:00 to 2026-03-04 05:00: two stretches of time lie in one",)
