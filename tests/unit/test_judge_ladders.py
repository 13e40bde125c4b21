"""Some hundred simulated ladders: the promises of docs/release.md, as `python -m tests.bench_ladders` measures them at length."""

import numpy as np
import pytest

from components.release.evidence import Look, Sample
from components.release.judge import Verdict, judge
from components.release.schedule import chances
from tests.ladder_draws import ONE_PAGE, SEVERAL_PAGES, UNLIKE, Drawn, Scenario, draw, looks_of
from tests.ladder_rules import FAIL, HOLD, MISMATCH, PASS, RULES, judge_rule
from tests.ladders import crossings, simulate
from tests.looks import START, make_config

CFG = make_config()
NUM = 300
JUDGES = {name: RULES[name] for name in ("judge", "judge, no horizon")}


def climbs(values, *, app=None, num=NUM, world=SEVERAL_PAGES, rules=JUDGES):
    return simulate(Scenario("", {"web": values, "app": values if app is None else app}, world), num, CFG, seed=0, rules=rules)


def share(ladders):
    return float(np.mean(ladders))


@pytest.mark.parametrize("world", [SEVERAL_PAGES, ONE_PAGE])
def test_equal_arms_seldom_fail_and_mostly_pass_by_the_horizon(world):
    found = climbs({}, world=world)
    assert share(found["judge"].every_group(PASS)) >= 0.8
    for ladders in found.values():
        assert share(ladders.any_group(FAIL) | ladders.any_group(MISMATCH)) <= 0.025


@pytest.mark.parametrize("harm", [{"tap_rate": 0.024}, {"purchase_rate": 0.0036}, {"error_share": 0.006}, {"seller_share": 0.76}])
def test_harm_of_exactly_a_margin_seldom_passes(harm):
    for ladders in climbs(harm).values():
        assert share(ladders.any_group(PASS)) <= 0.025


def test_a_tap_rate_of_two_instead_of_three_percent_fails_soon():
    found = climbs({"tap_rate": 0.02})["judge"]
    soon = np.all([users <= 20_000 for users in found.users.values()], axis=0)
    assert share(found.every_group(FAIL) & soon) >= 0.95


def test_web_goes_up_where_the_app_comes_down():
    found = climbs({"tap_rate": 0.036}, app={"tap_rate": 0.022})["judge"]
    assert share(found.outcome["web"] == PASS) >= 0.95
    assert share(found.outcome["app"] == FAIL) >= 0.95


def test_others_rules_err_on_the_same_draws():
    found = climbs({}, num=100, rules=RULES)
    assert share(found["peeked z-test"].any_group(FAIL)) > 0.3
    assert share(found["three strikes"].any_group(FAIL)) > 0.3
    assert np.median(found["fixed horizon"].users["web"]) > 1.5 * np.median(found["judge"].users["web"])


def test_pages_taken_for_users_fail_equal_arms():
    found = climbs({}, world=UNLIKE, num=200, rules={name: RULES[name] for name in ("judge", "judge, page as unit")})
    assert share(found["judge"].any_group(FAIL)) <= 0.025
    assert share(found["judge, page as unit"].any_group(FAIL)) > 0.2


@pytest.mark.parametrize("world", [SEVERAL_PAGES, ONE_PAGE, UNLIKE])
@pytest.mark.parametrize(("metric", "value"), [("error_share", 0.006), ("tap_rate", 0.024)])
def test_each_boundary_alone_is_reached_as_seldom_as_its_budget_says(metric, value, world):
    cfg, rung = make_config(budget=CFG.budget.model_dump() | {"fail_share": 0.4}), CFG.rungs[2]
    asked = {metric: cfg.metrics[metric]}
    drawn = draw(Scenario("", {"web": {metric: value}}, world), "web", rung, asked, 3_000, cfg, np.random.default_rng(0))
    passed, failed = crossings(drawn.moments_LBMAS, drawn.users_L, metric, rung, cfg)
    may = chances("web", rung.weight_percent, cfg)
    assert share(passed) <= 1.6 * may.pass_share
    assert share(failed) <= 1.6 * may.fail_share


def looks_in(drawn: Drawn, b: int, weight: int) -> list[Look]:
    """One ladder's looks, as the judge is given them."""
    found = []
    for k, users in enumerate(drawn.users_L):
        samples = {
            name: {
                arm: Sample(int(row[0]), *map(float, row[1:]))
                for arm, row in zip(("stable", "canary"), drawn.moments_LBMAS[k, b, m], strict=True)
            }
            for m, name in enumerate(CFG.asked_at(weight))
        }
        at = START.replace(minute=k)
        found.append(Look("web", weight, START, at, {"stable": int(drawn.stable_LB[k, b]), "canary": users}, samples))
    return found


@pytest.mark.parametrize("canary", [{}, {"tap_rate": 0.02}, {"tap_rate": 0.024, "error_share": 0.004}, {"slow_share": 0.02}])
def test_what_is_simulated_is_what_judges(canary):
    rung, verdicts = CFG.rungs[2], {PASS: Verdict.PASS, FAIL: Verdict.FAIL, HOLD: Verdict.HOLD, MISMATCH: Verdict.MISMATCH}
    drawn = draw(Scenario("", {"web": canary}), "web", rung, CFG.asked_at(25), 6, CFG, np.random.default_rng(0))
    ended = judge_rule(drawn, "web", rung, CFG)
    assert drawn.users_L == looks_of(rung, CFG)
    for b in range(6):
        looks = looks_in(drawn, b, 25)
        said = next((one for k, look in enumerate(looks) if (one := judge(looks[:k], look, CFG)).verdict is not Verdict.NOT_YET))
        assert (said.verdict, said.num_users) == (verdicts[ended.outcome_B[b]], ended.users_B[b])
