"""What the judge may be told, and what params.yaml tells it."""

import pytest

from components.contract import bind, read_params
from components.errors import BadParams
from components.release.config import ReleaseConfig
from components.release.rules import Rung
from components.release.schedule import Chances, Kind, chances, in_time, kinds, left
from components.release.sequential import spent
from tests.conftest import PROJECT
from tests.looks import STABLE, make_config

CFG = make_config()


def test_the_defaults_keep_what_is_promised():
    assert list(CFG.metrics) == list(STABLE)
    assert CFG.metrics["tap_rate"].margin_in("web") <= 0.2
    assert sum(rung.horizon_users for rung in CFG.rungs) <= 60_000
    assert CFG.budget.pass_share <= 0.025
    assert CFG.budget.fail_share + CFG.budget.mismatch_share <= 0.025
    assert [len(CFG.asked_at(rung.weight_percent)) for rung in CFG.rungs] == [5, 5, 7, 7]


def test_the_parts_of_the_budgets_do_not_exceed_them():
    strata = [(group, rung.weight_percent) for group in CFG.budget.groups for rung in CFG.rungs]
    fails = sum(chances(*stratum, CFG).fail_share * len(CFG.asked_at(stratum[1])) for stratum in strata)
    assert fails == pytest.approx(CFG.budget.fail_share)
    assert sum(chances(*stratum, CFG).mismatch_share for stratum in strata) == pytest.approx(CFG.budget.mismatch_share)
    assert sum(chances(group, 25, CFG).pass_share for group in CFG.budget.groups) == pytest.approx(CFG.budget.pass_share)


@pytest.mark.parametrize("users", [[], [20], [20, 60], [20, 100], [20, 100, 130, 200]])
@pytest.mark.parametrize("horizon", [100, None])
def test_an_attempt_and_those_after_it_spend_no_more_than_the_budget(users, horizon):
    chance, rung = Chances(0.02, 0.01, 0.005), Rung(weight_percent=25, horizon_users=horizon)
    after, now, seen = left(users, rung, chance, CFG), in_time(chance, CFG), kinds(users, horizon, CFG)
    tested = max((count for count, kind in zip(users, seen, strict=True) if kind is not Kind.BETWEEN), default=0)
    part = float(bool(tested)) if horizon is None else 1.0
    passed, failed = (part * spent(tested, horizon or 1, power) for power in (CFG.pass_power, CFG.fail_power))
    late = chance.fail_share * CFG.budget.late_share / 2 if Kind.LATE in seen else 0.0
    assert after.pass_share + now.pass_share * passed == pytest.approx(chance.pass_share)
    assert after.fail_share + now.fail_share * failed + late == pytest.approx(chance.fail_share)
    assert after.mismatch_share + now.mismatch_share == pytest.approx(chance.mismatch_share)


def test_a_look_is_an_analysis_where_the_arm_has_grown_and_at_the_horizon():
    found = kinds([5, 19, 20, 24, 25, 90, 99, 100, 110, 125], 100, CFG)
    names = ["BETWEEN", "BETWEEN", "ANALYSIS", "BETWEEN", "ANALYSIS", "ANALYSIS", "BETWEEN", "ANALYSIS", "BETWEEN", "LATE"]
    assert found == [Kind[name] for name in names]
    assert kinds([5, 20, 21], None, CFG) == [Kind.BETWEEN, Kind.ANALYSIS, Kind.ANALYSIS]


def changed(**metric):
    return {"error_share": CFG.model_dump()["metrics"]["error_share"] | metric}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": {}}, "name a guardrail"),
        ({"metrics": changed(kind="success")}, "name a guardrail"),
        ({"metrics": changed(margin=0.0)}, "greater than 0"),
        ({"metrics": changed(margin=float("nan"))}, "margin"),
        ({"metrics": changed(better="higher", relative=True, margin=1.0)}, "below 1 as a share that may be lost; found 1.0"),
        ({"metrics": changed(by_group={"app": -0.1})}, "a margin is above 0"),
        ({"metrics": changed(by_group={"tv": 0.1})}, "by_group names tv, which has no share in budget.groups: web, app"),
        ({"metrics": changed(marign=0.1)}, "unknown key judge.metrics.error_share.marign"),
        ({"rungs": []}, "their weights rise"),
        ({"rungs": [{"weight_percent": 5, "horizon_users": 100}] * 2}, r"their weights rise; found \[5, 5\]"),
        ({"rungs": [{"weight_percent": 100, "horizon_users": 100}]}, "less than or equal to 99"),
        ({"rungs": [{"weight_percent": 5, "horizon_users": 19}]}, "a horizon of 19 users is below min_users, 20"),
        ({"budget": CFG.budget.model_dump() | {"groups": {"web": 0.7, "app": 0.5}}}, "all have 1 at most"),
        ({"budget": CFG.budget.model_dump() | {"groups": {"web": 0.0, "app": 0.5}}}, "a share above 0"),
        ({"budget": CFG.budget.model_dump() | {"fail_share": 0.0}}, "greater than 0"),
        ({"growth": 1.0}, "greater than or equal to 1.05"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(changes, words):
    with pytest.raises(BadParams, match=words):
        make_config(**changes)


def release(**judge):
    told = read_params(PROJECT / "params.yaml")["release"]
    return bind(ReleaseConfig, "release", {"release": told | {"judge": told["judge"] | judge}})


def test_every_rung_of_the_ladder_and_every_group_is_judged():
    assert release().judge == CFG
    with pytest.raises(BadParams, match=r"judge each rung of ladder.rungs below 100, \[1, 5, 25, 50\]; found \[1, 5, 25\]"):
        release(rungs=CFG.model_dump()["rungs"][:3])
    with pytest.raises(BadParams, match="share out among web, app; found web"):
        release(budget=CFG.budget.model_dump() | {"groups": {"web": 1.0}})
