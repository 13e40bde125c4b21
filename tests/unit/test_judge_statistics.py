"""The parts of the judge against exact chances and against others' ways to find them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, multivariate_normal, norm, poisson

from components.release import mismatch
from components.release.contrast import bounds, signed_root
from components.release.ratio import Counted, counted
from components.release.sequential import anytime, group_sequential, late, spent

COUNTS = [0.05, 0.15, 0.6, 2, 6, 12, 40]


def make_arm(events, trials):
    events = np.atleast_2d(np.asarray(events, dtype=float))
    return Counted(events / trials, events, np.full_like(events, trials))


def make_moments(x, y):
    """One arm, one metric, one look, from users' own x and y."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    return np.array([[[len(x), x.sum(), y.sum(), x @ x, x @ y, y @ y]]])


@pytest.mark.parametrize("due", COUNTS)
@pytest.mark.parametrize("times_stable", [1, 99])
@pytest.mark.parametrize("margin", [0.0, 5.0])
@pytest.mark.parametrize("is_relative", [False, True])
def test_no_tail_is_likelier_than_its_z_says_however_few_events_are_due(due, times_stable, margin, is_relative):
    trials = 1_000.0
    due_stable = due / (1 + margin) * times_stable
    of_canary, of_stable = np.arange(due + 12 * due**0.5 + 25), np.arange(due_stable + 12 * due_stable**0.5 + 25)
    canary, stable = np.meshgrid(of_canary, of_stable)
    chance = np.outer(poisson.pmf(of_stable, due_stable), poisson.pmf(of_canary, due)).ravel()
    line = (0.0, 1 + margin) if is_relative else (due / trials * margin / (1 + margin), 1.0)
    z = signed_root(make_arm(stable.ravel(), trials * times_stable), make_arm(canary.ravel(), trials), *line)[0]
    for at_least in (1.5, 2.0, 3.0, 4.0):
        assert chance[z >= at_least].sum() <= norm.sf(at_least)
        assert chance[z <= -at_least].sum() <= norm.sf(at_least)


def test_many_events_give_the_plain_z():
    stable, canary = make_arm([30_000.0], 1e6), make_arm([28_000.0], 1e6)
    plain = (0.028 - 0.03) / math.sqrt((0.028 + 0.03) / 1e6)
    assert signed_root(stable, canary, 0.0, 1.0)[0, 0] == pytest.approx(plain, rel=1e-2)


@given(st.floats(0, 1e4), st.floats(1, 1e6), st.floats(0, 1e4), st.floats(1, 1e6), st.floats(-0.5, 0.5))
def test_the_arms_may_change_places(events, trials, others, other_trials, offset):
    one, other = make_arm([events], trials), make_arm([others], other_trials)
    assert signed_root(one, other, offset, 1.0) == pytest.approx(-signed_root(other, one, -offset, 1.0), rel=1e-6, abs=1e-6)
    assert signed_root(one, other, 0.0, 1.25) == pytest.approx(-signed_root(other, one, 0.0, 0.8), rel=1e-6, abs=1e-6)


@given(st.floats(1, 1e4), st.floats(1e4, 1e6), st.floats(1, 1e4), st.floats(1e4, 1e6), st.booleans())
def test_an_interval_ends_where_the_data_are_so_many_standard_errors_away(events, trials, others, other_trials, is_relative):
    stable, canary = make_arm([events], trials), make_arm([others], other_trials)
    low, high = bounds(stable, canary, np.array([is_relative]), np.array([2.0]), np.array([3.0]))
    assert low[0, 0] < high[0, 0]
    for end, z in ((low, 2.0), (high, -3.0)):
        if np.isfinite(end[0, 0]) and (not is_relative or end[0, 0] > -1 + 1e-6):
            line = (0.0, 1 + end) if is_relative else (end, 1.0)
            assert signed_root(stable, canary, *line)[0, 0] == pytest.approx(z, abs=1e-3)


def test_a_user_with_one_page_is_one_trial():
    arm = counted(make_moments([1] * 30 + [0] * 970, [1] * 1_000), prior_users=10)
    assert arm.value_BM[0, 0] == pytest.approx(0.03)
    assert arm.trials_BM[0, 0] == pytest.approx(1_000 / 0.97, rel=0.02)  # Poisson's variance is that much above a share's
    assert arm.trials_BM[0, 0] <= 1_000 / 0.97


def test_the_variance_is_that_of_the_users_differences_from_the_ratio():
    x, y = np.array([3.0, 0.0, 1.0, 2.0]), np.array([4.0, 1.0, 1.0, 5.0])
    arm = counted(make_moments(x, y), prior_users=1e-9)
    variance = np.var(x - x.sum() / y.sum() * y, ddof=1) * 4 / y.sum() ** 2
    doubt = x.sum() / y.sum() * (y @ y) / y.sum() ** 2
    assert variance < doubt
    assert arm.value_BM[0, 0] / arm.trials_BM[0, 0] == pytest.approx(variance)


def test_pages_that_share_their_users_fate_are_worth_a_users_number():
    rng = np.random.default_rng(0)
    fate = rng.random(20_000) < 0.1
    alike = counted(make_moments(fate * 8, np.full(20_000, 8)), prior_users=10)
    apart = counted(make_moments(rng.binomial(8, 0.1, 20_000), np.full(20_000, 8)), prior_users=10)
    assert alike.trials_BM[0, 0] == pytest.approx(20_000 / 0.9, rel=0.05)
    assert apart.trials_BM[0, 0] == pytest.approx(160_000 / 0.9, rel=0.05)


def test_where_nothing_was_seen_users_and_not_pages_are_counted():
    none = counted(make_moments([0] * 300, [1, 2, 9] * 100), prior_users=10)
    assert none.events_BM[0, 0] == 0
    assert none.trials_BM[0, 0] == pytest.approx(1_200**2 / 8_600)


@pytest.mark.parametrize("x_y", [([], []), ([1], [2]), ([0, 0], [0, 0])])
def test_fewer_than_two_users_or_no_pages_are_no_data(x_y):
    assert np.isnan(counted(make_moments(*x_y), prior_users=10).value_BM[0, 0])


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("users", [(100,), (20, 100), (10, 40, 100), (30, 31, 99, 100)])
def test_the_chance_to_reach_a_boundary_is_the_budget(users, power):
    bound = group_sequential(users, 100, 0.025, power)
    alike = np.array([[math.sqrt(min(one, other) / max(one, other)) for other in users] for one in users])
    normal = multivariate_normal(np.zeros(len(users)), alike, allow_singular=True, abseps=1e-8, maxpts=2_000_000)
    below = norm.cdf(bound[0]) if len(users) == 1 else normal.cdf(np.array(bound), rng=np.random.default_rng(0))
    assert 1 - below == pytest.approx(0.025, abs=2e-5)


def test_what_was_spent_is_only_what_the_users_allow():
    users, budget = (100, 250, 600, 1_000), 0.02
    walks = np.random.default_rng(0).normal(size=(400_000, 4)) * np.sqrt(np.diff(users, prepend=0))
    z = walks.cumsum(axis=1) / np.sqrt(users)
    crossed = np.logical_or.accumulate(z >= group_sequential(users, 1_000, budget, 2.0), axis=1).mean(axis=0)
    assert crossed == pytest.approx([budget * spent(count, 1_000, 2.0) for count in users], abs=7e-4)


def test_the_boundaries_of_pocock_and_of_one_look_are_the_known_ones():
    assert group_sequential([50], 50, 0.025, 1.0) == pytest.approx([1.95996], abs=1e-5)
    # Jennison and Turnbull (2000), table 7.1: Lan and DeMets, power 1, two-sided 0.05, five equal looks, within what one side leaves out
    assert group_sequential([1, 2, 3, 4, 5], 5, 0.025, 1.0) == pytest.approx([2.576, 2.491, 2.407, 2.337, 2.282], abs=0.06)


def test_a_boundary_depends_on_what_came_before_and_not_on_what_will():
    assert group_sequential([10, 30, 70], 100, 0.02, 1.0)[:2] == group_sequential([10, 30], 100, 0.02, 1.0)


def test_looks_beyond_the_horizon_spend_what_is_left_and_no_more():
    (bound,) = group_sequential([150], 100, 0.02, 1.0)
    assert bound == pytest.approx(norm.isf(0.02))
    assert group_sequential([100, 150], 100, 0.02, 1.0)[1] == math.inf
    assert group_sequential([50, 100], 100, 0.0, 1.0) == (math.inf, math.inf)


@pytest.mark.parametrize("users", [[0, 5], [5, 5], [7, 5]])
def test_users_that_do_not_rise_are_refused(users):
    with pytest.raises(ValueError, match="rise from 1"):
        group_sequential(users, 10, 0.02, 1.0)


def test_without_a_horizon_no_number_of_looks_spends_more_than_the_budget():
    budget, num = 0.05, 2_000
    at = np.unique(np.geomspace(30, 200_000, 300).astype(int))
    walks = (np.random.default_rng(0).normal(size=(num, len(at))) * np.sqrt(np.diff(at, prepend=0))).cumsum(axis=1) / np.sqrt(at)
    crossed = (walks >= [anytime(int(count), budget, 5_000) for count in at]).any(axis=1).mean()
    assert 0.005 < crossed <= budget


def test_bounds_after_the_horizon_share_one_budget():
    spent_late = sum(norm.sf(late(nth, 0.01)) for nth in range(1, 3_000))
    assert 0.0099 < spent_late <= 0.01


def test_a_sound_split_is_seldom_called_a_mismatch_at_any_look_and_a_wrong_one_soon():
    def ever(share, users=15_000, num=400):
        canary = (np.random.default_rng(0).random((num, users)) < share).cumsum(axis=1)
        stable = np.arange(1, users + 1) - canary
        return (mismatch.evidence(stable, canary, 0.25, 1_000.0) >= mismatch.limit(0.01)).any(axis=1).mean()

    assert ever(0.25) <= 0.01
    assert ever(0.23) >= 0.95


def test_the_evidence_is_the_ratio_of_the_two_chances():
    stable, canary, prior = 70, 40, 100.0
    share = np.linspace(1e-6, 1 - 1e-6, 200_001)
    either = np.trapezoid(binom.pmf(canary, stable + canary, share) * beta.pdf(share, 0.25 * prior, 0.75 * prior), share)
    assert mismatch.evidence(stable, canary, 0.25, prior) == pytest.approx(
        math.log10(either / binom.pmf(canary, stable + canary, 0.25)), abs=1e-6
    )
    assert mismatch.evidence(0, 0, 0.25, prior) == 0
