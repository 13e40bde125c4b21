"""At 100 % the candidate is held to what the stable release showed in the shadow."""

import datetime as dt

import numpy as np
import pytest

from components.contract import bind, read_params
from components.release.evidence import Look, Sample
from components.release.judgement import Verdict
from components.release.rules import JudgeConfig
from components.release.shadow import Baseline
from components.release.soak import soaked
from components.release.strata import Limits
from tests.conftest import PROJECT

AT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
CFG = bind(JudgeConfig, "judge", read_params(PROJECT / "params.yaml")["release"])
STABLE = {"error_share": 0.0, "slow_share": 0.01, "empty_share": 0.0, "score_shift": 0.1, "seller_share": 0.9}
PER_USER = {"error_share": 3, "slow_share": 3, "empty_share": 3, "score_shift": 30, "seller_share": 30}


def make_look(users, rng=None, **shares):
    """`users` users of three answers of ten items each, whose shares are those of the stable release but for `shares`."""
    rng = rng or np.random.default_rng(7)
    samples = {}
    for name, share in (STABLE | shares).items():
        y = np.full(users, PER_USER[name])
        x = rng.binomial(y, share)
        samples[name] = {"canary": Sample(users, *map(float, (x.sum(), y.sum(), (x * x).sum(), (x * y).sum(), (y * y).sum())))}
    return Look("web", 100, AT, AT, {"canary": users}, samples)


def verdict_of(look, soak_users=1_000):
    return soaked(look, Baseline("web", AT, 10_000, 3_000, Limits(80.0, 0.2, 0.8), STABLE), CFG, soak_users)


def test_no_data_is_not_yet():
    judgement = verdict_of(Look("web", 100, AT, AT, {}, {}))
    assert (judgement.verdict, judgement.users_needed) == (Verdict.NOT_YET, 1_000)
    assert judgement.reason == "not yet, 1,000 more users needed in the soak of web at 100 %, 0 users"


def test_a_release_as_good_as_the_stable_one_passes_once_enough_users_were_answered():
    assert verdict_of(make_look(999)).verdict is Verdict.NOT_YET
    judgement = verdict_of(make_look(1_000))
    assert judgement.verdict is Verdict.PASS
    assert [row.verdict for row in judgement.rows] == [Verdict.PASS] * 5


@pytest.mark.parametrize(
    ("metric", "share"), [("error_share", 0.05), ("slow_share", 0.1), ("empty_share", 0.1), ("score_shift", 0.3), ("seller_share", 0.6)]
)
def test_a_guardrail_beyond_its_margin_fails_long_before_the_soak_is_over(metric, share):
    judgement = verdict_of(make_look(400, **{metric: share}))
    assert judgement.verdict is Verdict.FAIL
    assert [row.metric for row in judgement.rows if row.verdict is Verdict.FAIL] == [metric]
    assert f"beyond the limits in the soak of web at 100 %, 400 users: {metric} " in judgement.reason


def test_what_lies_a_little_beyond_a_margin_neither_passes_nor_fails_on_few_users():
    assert verdict_of(make_look(1_000, slow_share=0.026)).verdict is Verdict.NOT_YET


def test_a_sound_release_hardly_ever_fails_however_often_it_is_looked_at():
    rng = np.random.default_rng(3)
    failed = 0
    for _ in range(60):
        users = [make_look(n, np.random.default_rng(rng.integers(2**32))) for n in range(50, 1_000, 50)]
        failed += any(verdict_of(look).verdict is Verdict.FAIL for look in users)
    assert failed == 0
