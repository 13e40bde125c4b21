"""What follows for traffic from what is known of each group."""

import datetime as dt
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import bind, read_params
from components.errors import BadParams
from components.release.channel import FULL, PLATFORMS, Candidate, Lane, Step
from components.release.config import LadderConfig, ShadowConfig
from components.release.judgement import Verdict
from components.release.ladder import Finding, Kind, Ladder, Move, shadow_finding
from components.release.shadow import Estimate, ShadowReport
from tests.conftest import PROJECT

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
GROUPS = {"web": ["web"], "app": ["ios", "android"]}
PASS = Finding(Verdict.PASS, "not worse", 1_000)
FAIL = Finding(Verdict.FAIL, "tap_rate is 1 point lower", 1_000)
HOLD = Finding(Verdict.HOLD, "no verdict by 60,000 users", 60_000)
NOT_YET = Finding(Verdict.NOT_YET, "not yet: 900 more users needed", 100)
MISMATCH = Finding(Verdict.MISMATCH, "sample ratio", 500)


def make_ladder(weights, findings, *, steps=None, paused=None, stood_s=3600.0, waits=None, **changes):
    """A ladder at `weights` by platform; a platform without a weight stands in the shadow."""
    since = NOW - dt.timedelta(seconds=stood_s)
    steps = steps or {}
    lanes = {
        name: Lane(steps.get(name, Step.CANARY if weights.get(name) else Step.SHADOW), weights.get(name, 0), since, f"{name} stands here")
        for name in PLATFORMS
    }
    return Ladder(Candidate("c" * 64, since, 0.1, MappingProxyType(lanes), paused), findings, NOW, make_config(**changes), GROUPS, waits)


def make_config(**changes):
    told = {"rungs": [1, 5, 25, 50, 100], "look_s": 1.0, "min_s": 60.0, "min_users": 200, "soak_users": 500, "approval": False}
    return LadderConfig.model_validate(told | {"approval_timeout_s": 60.0, "gateway_timeout_s": 1.0} | changes)


def at(web, app):
    return {"web": web, "ios": app, "android": app}


def kinds(ladder):
    return [(move.kind, move.group, move.weight_percent) for move in ladder.moves()]


def test_a_group_that_passes_climbs_one_rung_and_another_waits_for_its_users():
    made = make_ladder(at(5, 1), {"web": PASS, "app": NOT_YET}).moves()
    assert made == [
        Move(Kind.CLIMB, "web", ("web",), 25, "not worse"),
        Move(Kind.STAY, "app", ("ios", "android"), 1, "not yet: 900 more users needed"),
    ]


@pytest.mark.parametrize(("weight", "rung"), [(0, 1), (1, 5), (5, 25), (25, 50), (50, 100)])
def test_the_rungs_follow_each_other(weight, rung):
    assert kinds(make_ladder(at(weight, weight), {"web": PASS, "app": PASS})) == [(Kind.CLIMB, "web", rung), (Kind.CLIMB, "app", rung)]


def test_a_group_that_fails_goes_back_to_zero_first_and_the_other_goes_on():
    made = make_ladder(at(25, 25), {"web": PASS, "app": FAIL}).moves()
    assert made == [
        Move(Kind.RETURN, "app", ("ios", "android"), 0, "tap_rate is 1 point lower"),
        Move(Kind.CLIMB, "web", ("web",), 50, "not worse"),
    ]


def test_a_mismatch_returns_every_platform_and_withdraws_the_release():
    made = make_ladder(at(25, 5), {"web": PASS, "app": MISMATCH}).moves()
    assert made == [
        Move(Kind.RETURN, None, ("web", "ios", "android"), 0, "sample ratio"),
        Move(Kind.WITHDRAW, None, PLATFORMS, 0, "sample ratio"),
    ]


def test_no_data_is_not_a_pass():
    assert kinds(make_ladder(at(5, 5), {})) == [(Kind.STAY, "web", 5), (Kind.STAY, "app", 5)]


def test_the_horizon_holds_and_what_is_held_stays_until_it_fails():
    assert kinds(make_ladder(at(25, 5), {"web": HOLD, "app": NOT_YET})) == [(Kind.HOLD, "web", 25), (Kind.STAY, "app", 5)]
    held = {"web": Step.HELD}
    assert kinds(make_ladder(at(25, 5), {"web": HOLD, "app": NOT_YET}, steps=held))[0] == (Kind.STAY, "web", 25)
    assert kinds(make_ladder(at(25, 5), {"web": PASS, "app": NOT_YET}, steps=held))[0] == (Kind.STAY, "web", 25)
    assert kinds(make_ladder(at(25, 5), {"web": FAIL, "app": NOT_YET}, steps=held))[0] == (Kind.RETURN, "web", 0)


def test_a_paused_ladder_does_not_climb_and_still_returns():
    made = make_ladder(at(25, 25), {"web": PASS, "app": FAIL}, paused="stock-taking").moves()
    assert [(move.kind, move.group) for move in made] == [(Kind.RETURN, "app"), (Kind.STAY, "web")]
    assert made[1].reason == "passed, but paused: stock-taking"
    assert kinds(make_ladder(at(100, 100), {"web": PASS, "app": PASS}, paused="x")) == [(Kind.STAY, "web", 100), (Kind.STAY, "app", 100)]


def test_a_rung_takes_a_minimum_of_time_and_of_users():
    few = Finding(Verdict.PASS, "not worse", 150)
    (web, _) = make_ladder(at(5, 5), {"web": few, "app": NOT_YET}).moves()
    assert (web.kind, web.reason) == (Kind.STAY, "not yet: 50 more users needed (150 of 200 at 5 %)")
    (web, _) = make_ladder(at(5, 5), {"web": PASS, "app": NOT_YET}, stood_s=20).moves()
    assert (web.kind, web.reason) == (Kind.STAY, "passed, but only 20 of 60 s at 5 %")


def test_a_gateway_that_is_not_ready_keeps_everyone_from_climbing_and_nobody_from_returning():
    made = make_ladder(at(25, 25), {"web": PASS, "app": FAIL}, waits="http://b lacks it").moves()
    assert [(move.kind, move.reason) for move in made] == [(Kind.RETURN, FAIL.reason), (Kind.STAY, "passed, but http://b lacks it")]


def test_it_is_stable_only_at_100_percent_on_every_platform_after_the_soak():
    both = {"web": PASS, "app": PASS}
    assert kinds(make_ladder(at(100, 100), both))[-1] == (Kind.PROMOTE, None, 100)
    assert kinds(make_ladder(at(100, 50), both)) == [(Kind.STAY, "web", 100), (Kind.CLIMB, "app", 100)]
    short = Finding(Verdict.PASS, "within the limits", 499)
    made = make_ladder(at(100, 100), {"web": PASS, "app": short}).moves()
    assert [(move.kind, move.reason) for move in made][1:] == [(Kind.STAY, "not yet: 1 more users needed (499 of 500 at 100 %)")]
    assert all(move.kind is Kind.STAY for move in make_ladder(at(100, 100), both, waits="a gateway is behind").moves())
    assert kinds(make_ladder(at(100, 100), {"web": FAIL, "app": PASS}))[0] == (Kind.RETURN, "web", 0)


def test_web_stays_at_100_percent_and_never_becomes_stable_once_the_app_is_returned():
    gone = {"ios": Step.RETURNED, "android": Step.RETURNED}
    assert kinds(make_ladder(at(50, 0), {"web": PASS}, steps=gone)) == [(Kind.CLIMB, "web", 100)]
    made = make_ladder(at(100, 0), {"web": PASS}, steps=gone).moves()
    assert (made[-1].kind, made[-1].platforms, made[-1].weight_percent) == (Kind.HOLD, ("web",), 100)
    assert made[-1].reason == "web keep it at 100 %, but it cannot become stable: ios stands here; android stands here"
    held = make_ladder(at(100, 0), {"web": PASS}, steps=gone | {"web": Step.HELD}).moves()
    assert [move.kind for move in held] == [Kind.STAY]


def test_a_release_that_no_platform_has_any_more_is_withdrawn_with_every_reason():
    gone = {"web": Step.RETURNED}
    made = make_ladder(at(0, 5), {"app": FAIL}, steps=gone).moves()
    assert made[-1] == Move(Kind.WITHDRAW, None, PLATFORMS, 0, "web stands here; tap_rate is 1 point lower")
    everyone = dict.fromkeys(PLATFORMS, Step.RETURNED)
    assert [move.kind for move in make_ladder({}, {}, steps=everyone).moves()] == [Kind.WITHDRAW]  # a kill may have come before this one


SHADOW = ShadowConfig(share=0.1, min_compared=100, max_error_share=0.01, min_overlap=0.2, max_latency_ratio=2.0)


def make_report(num_shadowed, num_errors, overlap, latency_ratio):
    estimate = None if overlap is None else Estimate(overlap, overlap, overlap)
    counts = (num_shadowed * 5, num_shadowed, num_errors, num_shadowed - num_errors, num_shadowed)
    return ShadowReport("web", NOW, NOW, *counts, estimate, estimate, latency_ratio, latency_ratio)


@pytest.mark.parametrize(
    ("report", "verdict", "words"),
    [
        (make_report(0, 0, None, None), Verdict.NOT_YET, "not yet, 100 more requests needed in the shadow of web"),
        (make_report(99, 50, 0.0, 9.0), Verdict.NOT_YET, "not yet, 1 more requests"),
        (make_report(100, 1, 0.2, 2.0), Verdict.PASS, "passed in the shadow of web, 100 requests: overlap 0.20, latency ratio 2.00"),
        (make_report(100, 2, 0.9, 1.0), Verdict.FAIL, "error_share 0.02 is above 0.01"),
        (make_report(100, 0, 0.19, 1.0), Verdict.FAIL, "overlap 0.19 is below 0.2"),
        (make_report(100, 0, 0.9, 2.1), Verdict.FAIL, "latency_ratio 2.1 is above 2"),
        (make_report(100, 100, None, None), Verdict.FAIL, "error_share 1 is above 0.01, overlap nan is below 0.2, latency_ratio nan"),
    ],
)
def test_the_shadow_is_left_on_errors_overlap_and_latency(report, verdict, words):
    finding = shadow_finding(report, SHADOW)
    assert finding.verdict is verdict
    assert words in finding.reason


@pytest.mark.parametrize("rungs", [[], [5, 1, 100], [1, 5, 50], [0, 100], [1, 1, 100]])
def test_rungs_that_do_not_rise_to_everyone_are_refused(rungs):
    with pytest.raises(BadParams, match=r"ladder\.rungs.*rungs rise from 1 or more to 100"):
        bind(LadderConfig, "ladder", {"ladder": make_config().model_dump() | {"rungs": rungs}})


def test_the_ladder_of_params_yaml_is_the_one_that_the_documents_promise():
    release = read_params(PROJECT / "params.yaml")["release"]
    assert bind(LadderConfig, "ladder", release).rungs == [1, 5, 25, 50, 100]
    assert bind(ShadowConfig, "shadow", release).share <= 1


steps = st.sampled_from([Step.SHADOW, Step.CANARY, Step.HELD, Step.RETURNED])
findings = st.dictionaries(
    st.sampled_from(["web", "app"]), st.builds(Finding, st.sampled_from(Verdict), st.just("why"), st.integers(0, 2_000)), max_size=2
)


@st.composite
def ladders(draw):
    chosen = {group: (draw(steps), draw(st.sampled_from([1, 5, 25, 50, 100]))) for group in GROUPS}
    by_platform = {name: chosen[group] for group, names in GROUPS.items() for name in names}
    weights = {name: 0 if step in (Step.SHADOW, Step.RETURNED) else weight for name, (step, weight) in by_platform.items()}
    return make_ladder(
        weights,
        draw(findings),
        steps={name: step for name, (step, _) in by_platform.items()},
        paused=draw(st.sampled_from([None, "x"])),
        waits=draw(st.sampled_from([None, "y"])),
        stood_s=draw(st.sampled_from([0.0, 59.0, 61.0])),
    )


@given(ladders())
def test_whatever_is_found_nobody_skips_a_rung_and_only_a_pass_climbs(ladder):
    for move in ladder.moves():
        lanes = [ladder.candidate.lanes[name] for name in move.platforms]
        if move.kind is Kind.CLIMB:
            assert ladder.findings[move.group].verdict is Verdict.PASS
            assert ladder.candidate.paused is None
            assert ladder.waits is None
            assert all(move.weight_percent == ladder.cfg.after(lane.weight_percent) for lane in lanes)
        elif move.kind is Kind.RETURN:
            assert move.weight_percent == 0
            assert all(lane.step is not Step.RETURNED for lane in lanes)
        elif move.kind is Kind.PROMOTE:
            assert all(lane.weight_percent == FULL and lane.step is Step.CANARY for lane in ladder.candidate.lanes.values())
            assert {f.verdict for f in ladder.findings.values()} == {Verdict.PASS}
        elif move.kind is Kind.STAY:
            assert move.weight_percent == min(lane.weight_percent for lane in lanes)


@given(ladders())
def test_every_group_that_fails_is_returned_whatever_else_is_so(ladder):
    returned = {name for move in ladder.moves() if move.kind is Kind.RETURN for name in move.platforms}
    for group, finding in ladder.findings.items():
        if finding.verdict in (Verdict.FAIL, Verdict.MISMATCH):
            assert set(ladder.standing(group)) <= returned
