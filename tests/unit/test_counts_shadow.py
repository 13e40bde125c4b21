"""The shadow: what is compared, and the limits that are frozen there."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.release.evidence import Sample
from components.release.logged import table_of
from components.release.shadow import Baseline, ShadowReport, estimate
from components.release.strata import Stratum
from components.release.tally import Tally
from tests.release.canary_log import CANDIDATE, Row, after, answer, parquet, stratum
from tests.unit.test_counts import CFG

AT = after(1000)
SHADOW = stratum(weight_percent=0)


def tally_of(rows: Sequence[Row], *strata: Stratum) -> Tally:
    tally = Tally()
    tally.follow(strata or (SHADOW,))
    if rows:
        tally.take("answers", [table_of(parquet("answers", rows), "answers")])
    return tally


def report(rows: Sequence[Row]) -> ShadowReport:
    return tally_of(rows).reports(AT)[SHADOW]


def baseline(rows: Sequence[Row]) -> Baseline | None:
    return tally_of(rows).shadows[SHADOW].baseline(AT, CFG)


def stable(number: int, **more: object) -> Row:
    return answer(f"r-{number}", f"u-{number % 7}", weight_percent=0, **more)


def shadowed(number: int, overlap: float | None = 0.5, shift: float | None = 0.0, **more: object) -> Row:
    return answer(f"r-{number}", f"u-{number % 7}", "shadow", weight_percent=0, overlap=overlap, score_shift=shift, **more)


def test_the_report_counts_what_was_compared_by_user():
    rows = [
        *(stable(n, latency_ms=10.0) for n in range(8)),
        *(shadowed(n, overlap=0.25 + 0.5 * (n % 2), shift=0.1, latency_ms=20.0) for n in range(4)),
        shadowed(5, None, None, status=503, latency_ms=900.0),
        shadowed(6, None, None, latency_ms=20.0),
    ]
    found = report(rows)
    assert (found.num_answers, found.num_shadowed, found.num_errors, found.num_compared, found.num_users) == (8, 6, 1, 4, 4)
    assert found.overlap is not None
    assert found.overlap.value == pytest.approx(0.5)
    assert 0 < found.overlap.low < 0.5 < found.overlap.high < 1
    assert found.score_shift is not None
    assert (found.score_shift.low, found.score_shift.high) == pytest.approx((0.1, 0.1), abs=1e-5)
    assert found.latency_ratio == pytest.approx(2.0, rel=0.02)


def test_without_a_comparison_nothing_is_claimed():
    found = report([stable(1)])
    assert (found.overlap, found.score_shift, found.latency_ratio, found.num_compared) == (None, None, None, 0)


def test_one_user_bounds_nothing():
    found = report([stable(1), shadowed(1), shadowed(8)])
    assert found.overlap is not None
    assert (found.overlap.low, found.overlap.high) == (0.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=2, max_size=30))
def test_the_interval_is_that_of_a_ratio_of_sums_over_users(compared):
    rows = [shadowed(7 * n + user, overlap=overlap) for n, (user, overlap) in enumerate(compared)]
    found = report(rows).overlap
    by_user = {user: [overlap for one, overlap in compared if one == user] for user, _ in compared}
    ratio = sum(overlap for _, overlap in compared) / len(compared)
    assert found is not None
    assert found.value == pytest.approx(ratio, abs=1e-6)
    if len(by_user) > 1:
        residual = [sum(values) - ratio * len(values) for values in by_user.values()]
        spread = math.sqrt(sum(one**2 for one in residual) * len(by_user) / (len(by_user) - 1)) / len(compared)
        assert found.high == pytest.approx(min(ratio + 1.96 * spread, 1.0), abs=1e-4)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    users, covered = 200, 0
    for _ in range(300):
        pages = rng.integers(1, 9, users)
        taste = rng.beta(2, 2, users)
        overlap = np.rint(rng.normal(taste * pages, 0.1) * 1e6)
        sums = (overlap.sum(), pages.sum(), overlap @ overlap, overlap @ pages, pages @ pages)
        found = estimate(Sample(users, *map(float, sums)), -9.0, 9.0)
        covered += found is not None and found.low <= 0.5 <= found.high
    assert 0.91 < covered / 300 < 0.99


@given(st.lists(st.tuples(st.floats(0.1, 1e5), st.lists(st.floats(0, 1), min_size=1, max_size=4)), min_size=3, max_size=60))
def test_limits_are_the_quantiles_of_what_the_stable_release_did(rows):
    found = baseline([stable(n, latency_ms=latency, hit_scores=scores) for n, (latency, scores) in enumerate(rows)])
    assert found is not None
    latencies = sorted(np.float32(latency) for latency, _ in rows)
    slowest = latencies[math.ceil(0.99 * len(rows)) - 1]
    assert slowest < found.limits.latency_ms <= slowest * (1 + 2**-7) + 1e-30
    scores = sorted(np.float16(score) for _, given in rows for score in given)
    assert found.limits.score_low == scores[math.ceil(0.05 * len(scores)) - 1]
    assert found.limits.score_high == scores[math.ceil(0.95 * len(scores)) - 1]


@given(st.lists(st.tuples(st.floats(0, 1e4), st.lists(st.floats(0, 1), min_size=1, max_size=4)), min_size=3, max_size=60))
def test_the_shares_of_a_baseline_are_those_that_the_same_answers_have_on_a_rung(rows):
    made = [stable(n, latency_ms=latency, hit_scores=scores, status=503 if n % 5 == 0 else 200) for n, (latency, scores) in enumerate(rows)]
    found = baseline(made)
    assert found is not None
    rung = stratum(limits=found.limits)
    look = tally_of([row | {"weight_percent": 5} for row in made], rung).looks(AT)[rung]
    for metric, value in found.values.items():
        sample = look.samples[metric]["stable"]
        assert sample.sum_x / sample.sum_y == value


def test_there_is_no_baseline_before_enough_answers_or_without_a_hit():
    assert baseline([stable(1), stable(2)]) is None
    assert baseline([stable(n, num_hits=0, num_sellers=0, hit_scores=[]) for n in range(5)]) is None
    assert baseline([stable(n, hit_scores=[float("nan")]) for n in range(5)]) is None
    assert baseline([]) is None


def test_a_group_is_frozen_by_its_own_answers():
    rows = [stable(n) for n in range(5)] + [answer("r-9", weight_percent=0, platform="ios", latency_ms=500.0)]
    tally = tally_of(rows, SHADOW, stratum("app", 0))
    found = [shadow.baseline(AT, CFG) for shadow in tally.shadows.values()]
    assert [(one.group, one.num_answers, one.num_users) for one in found if one is not None] == [("web", 5, 5)]


def test_what_the_candidate_answers_in_the_shadow_is_no_part_of_the_baseline():
    rows = [stable(n, latency_ms=10.0) for n in range(5)] + [shadowed(n, latency_ms=900.0) for n in range(5)]
    found = baseline(rows)
    assert found is not None
    assert found.limits.latency_ms < 11


def test_neither_order_nor_repetition_changes_the_shadow():
    rows = [stable(n, latency_ms=1.0 + n) for n in range(30)] + [shadowed(n, overlap=n / 30, shift=-n / 60) for n in range(30)]
    at_once, tally = tally_of(rows), tally_of([])
    rng = random.Random(0)
    for row in rng.sample([*rows, *rows], 2 * len(rows)):
        tally.take("answers", [table_of(parquet("answers", [row]), "answers")])
    assert tally.reports(AT) == at_once.reports(AT)
    assert tally.shadows[SHADOW].baseline(AT, CFG) == at_once.shadows[SHADOW].baseline(AT, CFG) is not None


def test_rows_of_a_rung_or_of_another_candidate_are_no_part_of_the_shadow():
    found = report(
        [answer("r-1"), stable(2, candidate_id="d" * 64), stable(3, release_id=CANDIDATE), answer("r-4", None, weight_percent=0), stable(5)]
    )
    assert found.num_answers == 1
