"""Bands learnt from the past: what was drawn like it passes, what broke does not."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import bind, read_params
from components.expectations.bands import distance, mean_mix, middle_and_spread, mix_band, ratio_band, share_band
from components.expectations.history import HistoryConfig
from components.expectations.profile import Mix, Prices, Profile
from components.validate.past import bands_of, past_suites
from tests.conftest import PROJECT

CFG = bind(HistoryConfig, "history", {"history": read_params(PROJECT / "params.yaml")["validate"]["history"]})
NULL_SHARES = {"seller_id": 0.1, "product_id": 0.6, "description": 0.3, "title": 0.0}
CURRENCIES = {"JPY": (0.9, 2000.0), "USD": (0.1, 20.0)}
NUM_LEAVES, NUM_ROOTS = 24, 4

amounts = st.floats(1e-3, 1e9)
pasts = st.lists(amounts, min_size=3, max_size=12)
shares = st.floats(0, 1)
mixes = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100), min_size=1).map(
    lambda counts: {name: count / sum(counts.values()) for name, count in counts.items()}
)


def draw(rng, *, week=0, num_rows=3000, wobble=0.1, volume=1.0, nulls=1.0, cents=1.0, shift=0.0):
    """The profile of a shop whose numbers move from week to week by about `wobble`, and by what a fault does to them."""

    def moved(size=None):
        return np.exp(rng.normal(0, wobble, size))

    n = int(num_rows * moved() * volume)
    leaf = np.random.default_rng(5).dirichlet(np.full(NUM_LEAVES, 3.0)) * moved(NUM_LEAVES)
    leaf = rng.multinomial(n, leaf / leaf.sum()) / n
    leaf = (1 - shift) * leaf + shift * np.eye(NUM_LEAVES)[0]
    prices = {}
    for currency, (share, middle) in CURRENCIES.items():
        drawn = middle * cents * np.exp(rng.normal(0, wobble / 2)) * rng.lognormal(0, 1, int(n * share))
        levels = {"q05": 5, "q25": 25, "q50": 50, "q75": 75, "q95": 95}
        prices[currency] = Prices(num_listings=len(drawn), quantiles={k: float(np.percentile(drawn, q)) for k, q in levels.items()})
    return Profile(
        as_of=datetime(2025, 1, 6, tzinfo=UTC) + timedelta(weeks=week),
        source="simulate",
        rows={"listings": n, "images": n, "impressions": int(50 * num_rows * moved() * volume)},
        null_share={"listings": {c: rng.binomial(n, min(s * moved() * nulls, 1)) / n for c, s in NULL_SHARES.items()}},
        mix=Mix(
            root={f"r{i}": float(s) for i, s in enumerate(leaf.reshape(NUM_ROOTS, -1).sum(axis=1))},
            leaf={f"l{i}": float(s) for i, s in enumerate(leaf)},
            currency={currency: share for currency, (share, _) in CURRENCIES.items()},
        ),
        prices=prices,
        click_through=0.05,
        picture_stats={},
        quarantine_share={},
    )


def outside(rng, num_past=8, wobble=0.1, num_rows=3000, **fault):
    """The kinds of numbers that lie outside their bands when a snapshot has this fault."""
    past = [draw(rng, week=week, wobble=wobble, num_rows=num_rows) for week in range(num_past)]
    bands = bands_of(draw(rng, week=num_past, wobble=wobble, num_rows=num_rows, **fault), past, CFG)
    return {kind for kind, found in bands.items() if any(abs(band.deviation) > 1 for band in found)}


@pytest.mark.parametrize(("num_past", "wobble", "num_rows", "most"), [(5, 0.1, 3000, 0.03), (12, 0.1, 3000, 0.01), (12, 0.1, 300, 0.03)])
def test_a_snapshot_drawn_like_the_past_seldom_fails(num_past, wobble, num_rows, most):
    """docs/runbook.md states the shares; 300 draws stand in for the 2,000 they were measured with."""
    rng = np.random.default_rng(0)
    alarms = [bool(outside(rng, num_past, wobble, num_rows)) for _ in range(300)]
    assert np.mean(alarms) <= most


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"volume": 0.5}, "volume"),
        ({"volume": 2.0}, "volume"),
        ({"nulls": 2.0}, "null_share"),
        ({"nulls": 0.0}, "null_share"),
        ({"shift": 0.3}, "category_mix"),
        ({"cents": 100.0}, "price_quantiles"),
        ({"cents": 0.01}, "price_quantiles"),
    ],
    ids=str,
)
def test_a_fault_is_found_in_the_numbers_it_moves(fault, kind):
    rng = np.random.default_rng(1)
    found = [outside(rng, wobble=0.05, **fault) for _ in range(50)]
    assert np.mean([kind in kinds for kinds in found]) >= 0.96


def test_a_currency_that_takes_over_is_another_mix():
    rng = np.random.default_rng(2)
    past = [draw(rng, week=week) for week in range(6)]
    now = draw(rng, week=6)
    mixed_up = now.model_copy(update={"mix": now.mix.model_copy(update={"currency": {"JPY": 0.4, "USD": 0.6}})})
    broken = [band.name for band in bands_of(mixed_up, past, CFG)["category_mix"] if abs(band.deviation) > 1]
    assert broken == ["currencies"]


def test_too_short_a_past_learns_nothing_and_says_so():
    rng = np.random.default_rng(3)
    past = [draw(rng, week=week) for week in range(CFG.min_snapshots - 1)]
    bands = bands_of(draw(rng, week=9, volume=0.01, cents=100.0), past, CFG)
    assert not any(bands.values())
    suites = past_suites(bands, len(past), CFG)
    assert {gate.unchecked for suite in suites for gate in suite.gates} == {"4 of 5 past snapshots"}


def test_the_first_impressions_of_a_shop_and_a_new_column_are_no_fault():
    rng = np.random.default_rng(4)
    past = [one.model_copy(update={"rows": {**one.rows, "impressions": 0}}) for one in (draw(rng, week=week) for week in range(6))]
    now = draw(rng, week=6)
    now = now.model_copy(update={"null_share": {"listings": {**now.null_share["listings"], "brand": 0.9}}})
    bands = bands_of(now, past, CFG)
    assert {band.name for band in bands["volume"]} == {"listings", "images"}
    assert "listings.brand" not in {band.name for band in bands["null_share"]}


def test_impressions_that_stop_are_a_fault():
    rng = np.random.default_rng(5)
    past = [draw(rng, week=week) for week in range(6)]
    now = draw(rng, week=6)
    bands = bands_of(now.model_copy(update={"rows": {**now.rows, "impressions": 0}}), past, CFG)
    assert [band.name for band in bands["volume"] if band.deviation < -1] == ["impressions"]


@given(pasts, st.floats(0.1, 10), st.floats(0.01, 2))
def test_a_ratio_band_holds_its_median_and_what_the_floor_allows(past, factor, floor):
    middle = math.exp(middle_and_spread(np.log(past))[0])
    for ratio in (1.0, 1 + 0.99 * floor, 1 / (1 + 0.99 * floor)):
        assert abs(ratio_band("n", middle * ratio, past, factor, floor).deviation) <= 1


@given(pasts, amounts, st.floats(0.1, 10), st.floats(0.01, 2))
def test_a_ratio_band_says_the_same_by_its_ends_as_by_its_deviation(past, observed, factor, floor):
    band = ratio_band("n", observed, past, factor, floor)
    if abs(abs(band.deviation) - 1) > 1e-9:
        assert (band.low <= observed <= band.high) == (abs(band.deviation) <= 1)


@given(pasts, amounts, st.floats(1e-3, 1e3))
def test_a_ratio_band_knows_no_unit(past, observed, unit):
    here, there = (ratio_band("n", observed * u, [v * u for v in past], 5.0, 0.5) for u in (1.0, unit))
    assert here.deviation == pytest.approx(there.deviation, rel=1e-6, abs=1e-6)


@given(pasts, st.randoms())
def test_the_order_of_the_past_changes_no_band(past, random):
    shuffled = random.sample(past, len(past))
    here, there = (ratio_band("n", 5.0, one, 5.0, 0.5) for one in (past, shuffled))
    assert (here.low, here.high) == pytest.approx((there.low, there.high))


@given(st.lists(st.floats(90, 110), min_size=7, max_size=12), st.floats(1e3, 1e6))
def test_one_bad_week_in_the_past_neither_hides_nor_causes_a_fault(past, bad):
    with_it = [*past, bad]
    assert abs(ratio_band("n", 100.0, with_it, 5.0, 0.5).deviation) <= 1
    assert abs(ratio_band("n", bad, with_it, 5.0, 0.5).deviation) > 1


@given(st.lists(shares, min_size=3, max_size=12), shares, st.integers(0, 10_000))
def test_a_share_band_lies_in_0_to_1_and_holds_its_median(past, observed, num_rows):
    band = share_band("n", observed, past, 5.0, 0.5, 0.02, num_rows)
    assert 0 <= band.low <= band.high <= 1
    assert abs(share_band("n", float(np.median(past)), past, 5.0, 0.5, 0.02, num_rows).deviation) <= 1


def test_few_rows_widen_a_share_band_as_chance_does():
    past = [0.1] * 6
    assert abs(share_band("n", 0.2, past, 5.0, 0.5, 0.02, 50).deviation) <= 1
    assert abs(share_band("n", 0.2, past, 5.0, 0.5, 0.02, 5000).deviation) > 1


@given(mixes, mixes, mixes)
def test_the_distance_of_mixes_is_a_metric_in_0_to_1(a, b, c):
    assert distance(a, a) == 0
    assert distance(a, b) == distance(b, a)
    assert 0 <= distance(a, b) <= 1 + 1e-12
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12


@given(st.lists(mixes, min_size=3, max_size=8))
def test_the_past_itself_lies_within_its_mix_band(past):
    assert math.isclose(sum(mean_mix(past).values()), 1)
    for mix in past:
        assert mix_band("n", mix, past, 2.0, 0.05).deviation <= 1


def test_mixes_without_a_common_name_are_as_far_apart_as_can_be():
    assert distance({"a": 1.0}, {"b": 1.0}) == 1
