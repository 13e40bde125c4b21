"""Which segments explain a shift, on rows of two dimensions."""

import datetime as dt

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.detectors.measure import Comparison
from monitoring.judging.blame import by_means, by_shares
from monitoring.judging.offs import Offs
from monitoring.judging.past import Values
from monitoring.span import day_of
from tests.monitoring.judging.days import FEATURES, RELEASE, SCALE, make_config, past_of, seen_day

NUM = 3000


def day(number: int, seed: int, faulty_in: str | None = None, share: float = 0.6, step: float = 1.5, grown: float = 0.0):
    """A day of rows in app versions a to d and categories x and y; `share` of the rows of `faulty_in` step along three features."""
    rng = np.random.default_rng([seed, number])
    version = rng.choice(list("abcd"), NUM, p=[0.4, 0.3, 0.2, 0.1])
    category = np.where(rng.random(NUM) < 0.3 + grown, "x", "y")
    rows = rng.normal(size=(NUM, len(FEATURES))) + (category == "x")[:, None] * 0.5
    segments = {"all": np.ones(NUM, bool)} | {f"app_version={name}": version == name for name in "abcd"}
    segments |= {f"category={name}": category == name for name in "xy"}
    if faulty_in:
        hit = segments[faulty_in] & (rng.random(NUM) < share)
        rows[hit, :3] += step
    counts = {name: float(here.sum()) for name, here in segments.items()}
    means = {name: rows[here].mean(axis=0) for name, here in segments.items()}
    whole = Comparison(seen_day(0).whole.found[:1], {}, counts, SCALE, means)
    return Values.of(day_of(dt.date(2026, 1, 1) + dt.timedelta(days=number)), RELEASE, whole), counts


HISTORY = [day(number, 0)[0] for number in range(50)]


def offs_of(values: Values) -> Offs:
    cfg = make_config()

    class Day:
        def __init__(self, values: Values) -> None:
            self.values = values

    return Offs.of(values, past_of([Day(one) for one in HISTORY]), cfg.day, cfg)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(["app_version=a", "app_version=b", "app_version=c", "category=x", "category=y"]), st.integers(1, 10**6))
def test_the_segment_that_holds_the_faulty_rows_and_no_others_ranks_first(segment: str, seed: int):
    values, rows = day(60, seed, segment)
    ranked = by_means(offs_of(values), rows, 0.02)
    assert ranked[0].segment == segment
    assert 0.5 < ranked[0].explained <= 1
    assert [one.explained for one in ranked] == sorted((one.explained for one in ranked), reverse=True)


def test_a_quiet_day_blames_little_and_nobody_for_all():
    values, rows = day(60, 5)
    assert all(one.segment != "all" for one in by_means(offs_of(values), rows, 0.02))


def test_of_a_shift_of_the_mix_the_segment_that_grew_is_to_blame():
    values, _ = day(60, 6, grown=0.1)
    ranked = by_shares(offs_of(values), ("category",))
    assert [one.segment for one in ranked] == ["category=x"]
    assert ranked[0].explained == 1
