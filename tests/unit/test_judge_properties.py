"""What holds of the judge whatever was counted."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.release.evidence import EMPTY, Look, Sample
from components.release.judge import Verdict, judge
from components.release.ratio import counted
from tests.looks import STABLE, make_config, make_look, make_sample

CFG = make_config()

shares = st.floats(0, 1)
users = st.integers(0, 30_000)
weights = st.sampled_from([1, 5, 25, 50])


@st.composite
def samples(draw):
    """What some users, each with their own pages, come to."""
    seen = draw(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1)), max_size=6))
    y = np.array([pages for pages, _ in seen], dtype=float)
    x = np.floor(y * np.array([part for _, part in seen]))
    times = draw(st.integers(1, 4_000))
    return Sample(len(y) * times, *(float(total) * times for total in (x.sum(), y.sum(), x @ x, x @ y, y @ y)))


@st.composite
def looks(draw, weight=weights):
    """A look with anything in it, no arm or metric for sure."""
    counts = {
        name: draw(st.dictionaries(st.sampled_from(["stable", "canary"]), samples(), max_size=2))
        for name in sorted(draw(st.sets(st.sampled_from(list(STABLE)))))
    }
    look = make_look(draw(users), draw(weight), draw(st.integers(0, 1_000)), stable_users=draw(users))
    return dataclasses.replace(look, samples=counts)


def has_data(look: Look, metric: str) -> bool:
    arms = look.samples.get(metric, {})
    return all(arms.get(arm, EMPTY).num_users >= 2 and arms.get(arm, EMPTY).sum_y > 0 for arm in ("stable", "canary"))


@given(st.lists(looks(), max_size=5), looks())
def test_whatever_was_counted_there_is_a_verdict_that_json_can_hold_and_a_second_hearing_repeats(past, look):
    said, again = (judge(past, look, CFG) for _ in range(2))
    assert json.dumps(dataclasses.asdict(said), allow_nan=False) == json.dumps(dataclasses.asdict(again))
    assert (said.users_needed > 0) == (said.verdict is Verdict.NOT_YET)


@given(st.lists(looks(), max_size=5), looks())
def test_only_a_look_with_data_on_every_metric_passes(past, look):
    missing = [name for name in CFG.asked_at(look.weight_percent) if not has_data(look, name)]
    assume(missing)
    assert judge(past, look, CFG).verdict is not Verdict.PASS


@given(users, st.sampled_from(list(STABLE)), st.sampled_from(["stable", "canary", "both"]))
def test_taking_away_the_data_of_a_metric_takes_the_pass_away(num, metric, arm):
    look = make_look(num)
    left = {} if arm == "both" else {name: sample for name, sample in look.samples[metric].items() if name != arm}
    assert judge([], dataclasses.replace(look, samples={**look.samples, metric: left}), CFG).verdict in (Verdict.NOT_YET, Verdict.HOLD)


METRICS = CFG.model_dump()["metrics"]
NEW = {
    kind: make_config(metrics=METRICS | {"new_rate": {"kind": kind, "better": "lower", "margin": 0.5, "relative": True, "by_group": {}}})
    for kind in ("guardrail", "success")
}


@given(users, st.sampled_from(["guardrail", "success"]))
def test_another_metric_that_nobody_counted_never_makes_a_pass(num, kind):
    assert judge([], make_look(num), NEW[kind]).verdict in (Verdict.NOT_YET, Verdict.HOLD)


def badness(verdict: Verdict) -> int:
    return {Verdict.PASS: 0, Verdict.NOT_YET: 1, Verdict.HOLD: 1, Verdict.FAIL: 2, Verdict.MISMATCH: 3}[verdict]


@given(st.integers(20, 30_000), st.sampled_from(list(STABLE)), shares, shares, weights)
def test_where_users_are_worse_off_the_verdict_is_never_better(num, metric, one, other, weight):
    better, worse = sorted((one, other), reverse=CFG.metrics[metric].better == "higher")
    on_better, on_worse = (judge([], make_look(num, weight, **{metric: value}), CFG).verdict for value in (better, worse))
    assert badness(on_worse) >= badness(on_better)


@settings(max_examples=200)
@given(st.integers(1, 60), st.lists(st.tuples(st.integers(1, 9), shares), min_size=1, max_size=6), st.data())
def test_users_who_lose_taps_never_turn_a_fail_into_a_pass(times, seen, data):
    def sample(x):
        n = 40 * times
        return Sample(n * len(y), *(float(total) * n for total in (x.sum(), y.sum(), x @ x, x @ y, y @ y)))

    y = np.array([pages for pages, _ in seen], dtype=float)
    before = np.floor(y * np.array([part for _, part in seen]))
    lost = np.array([data.draw(st.integers(0, int(taps))) for taps in before], dtype=float)
    stable = sample(np.array([data.draw(st.integers(0, int(pages))) for pages in y], dtype=float))
    num = 40 * times * len(y)
    first, then = (
        judge([], make_look(num, 50, tap_rate={"stable": stable, "canary": sample(taps)}), CFG).verdict for taps in (before, before - lost)
    )
    assert (first, then) != (Verdict.FAIL, Verdict.PASS)


@given(samples(), samples(), st.floats(1e-3, 1e3), st.sampled_from(list(STABLE)))
def test_the_unit_in_which_both_sides_of_a_ratio_are_counted_is_of_no_account(stable, canary, unit, metric):
    def found(unit):
        arms = {arm: scaled(sample, unit) for arm, sample in (("stable", stable), ("canary", canary))}
        row = next(row for row in judge([], make_look(10_000, **{metric: arms}), CFG).rows if row.metric == metric)
        return [math.nan if z is None else z for z in (row.margin_z, row.fail_z, row.estimate)]

    assert found(unit) == pytest.approx(found(1.0), rel=1e-3, abs=1e-4, nan_ok=True)


def scaled(sample, unit):
    square = unit * unit
    sums = (sample.sum_x * unit, sample.sum_y * unit, sample.sum_xx * square, sample.sum_xy * square, sample.sum_yy * square)
    return Sample(sample.num_users, *sums)


@given(samples(), samples())
def test_users_counted_in_two_parts_are_the_same_users(one, other):
    together = one + other
    assert together.num_users == one.num_users + other.num_users
    arms = {"stable": make_sample(30_000, 900), "canary": together}
    assert judge([], make_look(10_000, tap_rate=arms), CFG) == judge([], make_look(10_000, tap_rate=arms | {"canary": other + one}), CFG)


@given(st.lists(looks(st.just(25)), max_size=6), looks(st.just(25)), st.randoms())
def test_the_order_of_earlier_looks_is_of_no_account(past, look, random):
    by_time = list({one.at: one for one in past}.values())
    shuffled = by_time.copy()
    random.shuffle(shuffled)
    assert judge(by_time, look, CFG) == judge(shuffled, look, CFG)


@given(samples())
def test_what_is_known_of_an_arm_is_never_more_than_its_own_spread_and_a_doubt_say(sample):
    moments = np.array([[dataclasses.astuple(sample)]], dtype=float)
    sure, doubted = (counted(moments, prior).trials_BM[0, 0] for prior in (1e-9, 10.0))
    if sample.num_users < 2:
        assert np.isnan(counted(moments, 10.0).value_BM[0, 0])
    elif np.isfinite(sure):
        assert doubted <= sure * (1 + 1e-9)
