"""What the judge says of counts."""

import dataclasses
import datetime as dt
import json

import pytest

from components.errors import BadParams
from components.release.evidence import Sample
from components.release.judge import Judgement, Verdict, judge
from tests.looks import STABLE, START, make_config, make_look, make_sample

CFG = make_config()


def row(judgement: Judgement, metric):
    return next(row for row in judgement.rows if row.metric == metric)


def heard(looks, cfg=CFG):
    """The judgement on each look, given those before it."""
    return [judge(looks[:k], look, cfg) for k, look in enumerate(looks)]


def test_equal_arms_pass_once_enough_users_were_seen_and_never_before():
    verdicts = [said.verdict for said in heard([make_look(users) for users in (10, 100, 1_000, 5_000, 20_000)])]
    assert verdicts == [Verdict.NOT_YET] * 4 + [Verdict.PASS]


def test_a_tap_rate_of_two_instead_of_three_percent_fails_and_says_by_how_much():
    said = heard([make_look(users, tap_rate=0.02) for users in (100, 1_000, 2_000, 10_000)])
    assert [one.verdict for one in said] == [Verdict.NOT_YET] * 3 + [Verdict.FAIL]
    assert "shown worse in web at 25 %, 10,000 users in the smaller arm: tap_rate -0.333 of the stable release's" in said[-1].reason
    assert row(said[-1], "tap_rate").verdict is Verdict.FAIL
    assert row(said[-1], "tap_rate").high < 0


def test_no_data_at_all_is_not_yet_and_says_how_many_users_are_missing():
    said = judge([], make_look(0), CFG)
    assert (said.verdict, said.users_needed) == (Verdict.NOT_YET, 22_000)
    assert "error_share has no data to compare" in said.reason
    empty = dataclasses.replace(make_look(0), samples={}, users={})
    assert judge([], empty, CFG).verdict is Verdict.NOT_YET


@pytest.mark.parametrize("metric", STABLE)
def test_one_metric_without_data_is_enough_for_not_yet_and_at_the_horizon_for_hold(metric):
    assert judge([], make_look(21_000, **{metric: None}), CFG).verdict is Verdict.NOT_YET
    said = judge([], make_look(22_000, **{metric: None}), CFG)
    assert said.verdict is Verdict.HOLD
    assert f"{metric} has no data to compare" in said.reason


def test_an_arm_without_users_never_passes():
    for arm in ("stable", "canary"):
        samples = {name: {arm: make_sample(20_000, 20_000 * rate)} for name, rate in STABLE.items()}
        look = dataclasses.replace(make_look(20_000), samples=samples)
        assert judge([], look, CFG).verdict is Verdict.NOT_YET


def test_the_first_rungs_ask_guardrails_alone():
    said = judge([], make_look(4_000, 1, tap_rate=0.0, purchase_rate=None), CFG)
    assert said.verdict is Verdict.PASS
    assert [one.metric for one in said.rows] == ["error_share", "slow_share", "empty_share", "score_shift", "seller_share"]


@pytest.mark.parametrize(
    ("metric", "value"), [("error_share", 0.05), ("slow_share", 0.2), ("empty_share", 0.2), ("score_shift", 0.4), ("seller_share", 0.4)]
)
def test_each_guardrail_fails_on_the_first_rung(metric, value):
    said = heard([make_look(users, 1, **{metric: value}) for users in (50, 500, 1_000)])[-1]
    assert said.verdict is Verdict.FAIL
    assert [one.metric for one in said.rows if one.verdict is Verdict.FAIL] == [metric]


def test_a_guardrail_that_is_surely_worse_but_within_its_margin_passes():
    said = judge([], make_look(22_000, slow_share=0.015), CFG)
    assert row(said, "slow_share").estimate == pytest.approx(0.005)
    assert said.verdict is Verdict.PASS


def test_a_group_may_have_a_margin_of_its_own():
    metrics = CFG.model_dump()["metrics"]
    metrics["slow_share"]["by_group"] = {"app": 0.2}
    cfg = make_config(metrics=metrics)
    assert judge([], make_look(5_000, 1, slow_share=0.15), cfg).verdict is Verdict.FAIL
    assert judge([], make_look(5_000, 1, group="app", slow_share=0.15), cfg).verdict is Verdict.PASS


def test_no_error_in_either_arm_is_no_certainty_for_thirty_users_and_is_for_thousands():
    none = {"stable": make_sample(2_970, 0), "canary": make_sample(30, 0)}
    few = judge([], make_look(30, 1, error_share=none), CFG)
    assert row(few, "error_share").verdict is Verdict.NOT_YET
    assert row(few, "error_share").high > 0.005
    none = {"stable": make_sample(396_000, 0), "canary": make_sample(4_000, 0)}
    assert row(judge([], make_look(4_000, 1, error_share=none), CFG), "error_share").verdict is Verdict.PASS


def test_one_user_with_errors_among_thirty_is_no_proof_and_thirty_are():
    one = {"stable": make_sample(2_970, 3), "canary": make_sample(30, 1)}
    assert judge([], make_look(30, 1, error_share=one), CFG).verdict is Verdict.NOT_YET
    assert judge([], make_look(30, 1, error_share=1.0), CFG).verdict is Verdict.FAIL


def test_one_user_who_has_all_the_errors_counts_as_one_user():
    of_many = {"stable": make_sample(49_500, 50), "canary": make_sample(500, 20)}
    of_one = {"stable": make_sample(49_500, 50), "canary": Sample(500, 20, 519, 400, 400, 499 + 400)}
    assert judge([], make_look(500, 1, error_share=of_many), CFG).verdict is Verdict.FAIL
    assert judge([], make_look(500, 1, error_share=of_one), CFG).verdict is Verdict.NOT_YET


def test_the_horizon_without_a_verdict_holds():
    said = heard([make_look(users, slow_share=0.02) for users in (5_000, 21_999, 22_000, 22_500)])
    assert [one.verdict for one in said] == [Verdict.NOT_YET, Verdict.NOT_YET, Verdict.HOLD, Verdict.HOLD]
    assert said[1].users_needed == 1
    assert said[2].users_needed == 0
    assert "no verdict by the horizon in web at 25 %" in said[2].reason


def test_a_release_that_breaks_while_it_is_held_still_fails():
    held = [make_look(users, slow_share=0.02) for users in (5_000, 22_000)]
    assert judge(held, make_look(28_000, slow_share=0.05), CFG).verdict is Verdict.FAIL
    assert judge(held, make_look(28_000, slow_share=0.005), CFG).verdict is Verdict.HOLD  # a pass is no longer to be had
    late = heard([*held, make_look(28_000), make_look(40_000)])[2:]
    assert row(late[0], "tap_rate").fail_bound < row(late[1], "tap_rate").fail_bound


def test_without_a_horizon_nothing_is_held_and_all_else_is_as_ever():
    cfg = make_config(rungs=[{"weight_percent": weight, "horizon_users": None} for weight in (1, 5, 25, 50)])
    assert judge([], make_look(500_000, slow_share=0.02), cfg).verdict is Verdict.NOT_YET
    assert judge([], make_look(30_000), cfg).verdict is Verdict.PASS
    assert judge([], make_look(15_000, tap_rate=0.02), cfg).verdict is Verdict.FAIL
    assert judge([], make_look(0), cfg).verdict is Verdict.NOT_YET


def test_a_fail_once_shown_stays_whatever_comes_later():
    looks = [make_look(10_000, tap_rate=0.015), make_look(10_001), make_look(15_000), make_look(21_000)]
    assert {said.verdict for said in heard(looks)} == {Verdict.FAIL}


def test_looks_between_two_analyses_decide_nothing_new():
    said = heard([make_look(8_000), make_look(9_000, tap_rate=0.005), make_look(10_000, tap_rate=0.005)])
    assert [one.is_analysis for one in said] == [True, False, True]
    assert [one.num_analyses for one in said] == [1, 1, 2]
    assert [one.verdict for one in said] == [Verdict.NOT_YET, Verdict.NOT_YET, Verdict.FAIL]
    assert row(said[1], "tap_rate").fail_bound is None


def test_a_pass_stands_until_the_counts_or_the_next_analysis_take_it_back():
    said = heard([make_look(18_000), make_look(18_500), make_look(19_000, tap_rate=0.026), make_look(19_500)])
    assert [one.verdict for one in said] == [Verdict.PASS, Verdict.PASS, Verdict.NOT_YET, Verdict.PASS]


def test_looking_all_the_time_makes_no_more_analyses_than_growth_allows():
    looks = [make_look(users) for users in range(1, 5_000, 7)]
    assert judge(looks[:-1], looks[-1], CFG).num_analyses <= 26


def test_users_needed_is_what_a_pass_takes_if_nothing_changes_and_at_least_until_the_next_analysis():
    said = judge([], make_look(3_000), CFG)
    assert said.verdict is Verdict.NOT_YET
    for metric in ("tap_rate", "purchase_rate"):
        needed = 3_000 + row(said, metric).users_needed
        assert row(judge([], make_look(needed), CFG), metric).verdict is Verdict.PASS
        assert row(judge([], make_look(round(needed * 0.6)), CFG), metric).verdict is Verdict.NOT_YET
    assert said.users_needed == max(one.users_needed for one in said.rows)
    assert judge([], make_look(8_000), CFG).users_needed == 2_000


def test_a_wrong_split_of_users_stops_it_however_good_everything_else_is():
    said = judge([], make_look(20_000, stable_users=57_000), CFG)
    assert said.verdict is Verdict.MISMATCH
    assert "25.974% of users in the canary where 25% are due" in said.reason
    assert {one.verdict for one in said.rows} == {Verdict.PASS}
    assert judge([], make_look(20_000, stable_users=59_500), CFG).verdict is Verdict.PASS


def test_a_mismatch_once_shown_stays():
    looks = [make_look(10_000, stable_users=27_000), make_look(20_000)]
    assert judge(looks[:1], looks[1], CFG).verdict is Verdict.MISMATCH


def test_another_attempt_at_a_rung_has_only_what_the_first_left_of_the_budgets():
    held = [make_look(users, slow_share=0.02) for users in (5_000, 22_000)]
    later = dt.timedelta(days=30)
    again = dataclasses.replace(make_look(22_000), since=START + later, at=START + 2 * later)
    first, second = judge([], make_look(22_000), CFG), judge(held, again, CFG)
    assert second.num_analyses == 1
    assert row(second, "tap_rate").pass_bound > row(first, "tap_rate").pass_bound + 0.5
    assert row(second, "tap_rate").fail_bound > row(first, "tap_rate").fail_bound + 0.4
    assert second.ratio.limit == pytest.approx(first.ratio.limit + 1)
    worse = dataclasses.replace(make_look(5_000, slow_share=0.1), since=START + later, at=START + 2 * later)
    assert judge(held, worse, CFG).verdict is Verdict.FAIL


def test_other_strata_later_looks_and_the_order_of_the_past_are_of_no_account():
    past = [make_look(users, tap_rate=0.024) for users in (1_000, 4_000, 9_000)]
    look = make_look(12_000, tap_rate=0.024)
    others = [make_look(9_000, group="app", tap_rate=0.0), make_look(3_000, 5, error_share=0.5), make_look(20_000, tap_rate=0.0), look]
    assert judge(past, look, CFG) == judge([*others, *reversed(past)], look, CFG)


def test_the_interval_says_what_the_verdict_says():
    for users, changes in [
        (22_000, {}),
        (9_000, {}),
        (9_000, {"tap_rate": 0.02}),
        (22_000, {"slow_share": 0.03}),
        (22_000, {"seller_share": 0.7}),
    ]:
        for one in judge([], make_look(users, **changes), CFG).rows:
            lower = one.better == "lower"
            harm, gain = (one.high, one.low) if lower else (one.low, one.high)
            fails_beyond = one.limit if CFG.metrics[one.metric].kind == "guardrail" else 0.0
            is_pass = harm < one.limit if lower else harm > one.limit
            is_fail = gain > fails_beyond if lower else gain < fails_beyond
            assert one.verdict is (Verdict.FAIL if is_fail else Verdict.PASS if is_pass else Verdict.NOT_YET)


def test_a_judgement_is_plain_json_and_comes_out_the_same_again():
    for look in (make_look(0), make_look(9_000, tap_rate=0.02), make_look(22_000), make_look(9_000, purchase_rate=None)):
        said, again = (json.dumps(dataclasses.asdict(judge([], look, CFG)), allow_nan=False) for _ in range(2))
        assert said == again


def test_a_rung_or_a_group_that_the_config_does_not_know_is_refused():
    with pytest.raises(BadParams, match=r"no rung of 30 %: it has 1, 5, 25, 50"):
        judge([], make_look(100, 30), CFG)
    with pytest.raises(BadParams, match=r"no share for 'tv': it has web, app"):
        judge([], make_look(100, group="tv"), CFG)
