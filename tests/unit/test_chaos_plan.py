"""Which kills a seed decides on."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.plan import LEAST_A_STAGE, LEAST_A_TARGET, TARGETS, least_kills, plan

STAGES = st.integers(1, 20).map(lambda num: [f"stage-{place}" for place in range(num)])


@given(stages=STAGES, more=st.integers(0, 30), seed=st.integers())
def test_every_stage_is_hit_five_times_and_every_target_twenty(stages, more, seed):
    kills = plan(stages, least_kills(stages) + more, seed)
    assert len(kills) == least_kills(stages) + more
    assert min(Counter(kill.stage for kill in kills)[stage] for stage in stages) >= LEAST_A_STAGE
    assert min(Counter(kill.target for kill in kills)[target] for target in TARGETS) >= LEAST_A_TARGET
    assert {(kill.stage, kill.target) for kill in kills} == {(stage, target) for stage in stages for target in TARGETS}


@given(stages=STAGES, num_kills=st.integers(0, 100), seed=st.integers())
def test_a_plan_of_any_length_follows_the_stages_is_even_and_can_be_carried_out(stages, num_kills, seed):
    kills = plan(stages, num_kills, seed)
    places = [stages.index(kill.stage) for kill in kills]
    assert places == sorted(places)
    for names, found in ((stages, [kill.stage for kill in kills]), (TARGETS, [kill.target for kill in kills])):
        counts = [found.count(name) for name in names]
        assert max(counts) - min(counts) <= 1
    assert all(0 <= kill.share < 1 for kill in kills)
    assert all(kill.driver == "flow" for kill in kills if kill.target == "flow")


@given(seed=st.integers(0, 10**6))
def test_the_seed_decides_the_plan_and_another_seed_another(seed):
    stages = ["ingest", "split", "embed"]
    assert plan(stages, 60, seed) == plan(stages, 60, seed) != plan(stages, 60, seed + 1)


def test_moments_are_spread_over_the_whole_of_a_stage():
    shares = sorted(kill.share for kill in plan(["embed"], 1000, seed=0))
    assert max(abs(share - place / 1000) for place, share in enumerate(shares)) < 0.06
