"""Quiet days: the same for the same seed, and as unsteady as a shop's."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.rehearsal.stream import Day, Stream
from monitoring.window import COLUMNS, DIMENSIONS
from tests.monitoring.tiny_pool import quiet, tiny_pool

POOL, SAME_POOL = tiny_pool(), tiny_pool()


def same(one: Day, other: Day) -> bool:
    """Whether two days hold the same, byte for byte."""
    extras = [dataclasses.asdict(day.extras) for day in (one, other)]
    texts = [{name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in found.items()} for found in extras]
    return one.rows.equals(other.rows) and one.vectors.tobytes() == other.vectors.tobytes() and texts[0] == texts[1]


def shares(stream: Stream, days: range, **of: str) -> np.ndarray:
    """Share of the rows of each day that has the value."""
    ((column, value),) = of.items()
    return np.array([np.mean(np.array(stream.day(day).rows[column].to_pylist(), object) == value) for day in days])


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(0, 400))
def test_the_same_seed_gives_the_same_day_whatever_was_asked_for_before(seed: int, number: int):
    cfg = quiet(rows_a_day=300, pages_a_day=20)
    first, other = Stream(POOL, seed, cfg), Stream(SAME_POOL, seed, cfg)
    other.day(0)
    assert same(first.day(number), other.day(number))


def test_other_seeds_and_other_days_are_other_days():
    stream = Stream(POOL, 1, quiet(rows_a_day=300))
    assert not same(stream.day(5), Stream(POOL, 2, quiet(rows_a_day=300)).day(5))
    assert not stream.day(5).rows.equals(stream.day(6).rows)


@settings(max_examples=25)
@given(st.integers(0, 50), st.integers(0, 364))
def test_a_day_is_what_the_log_and_the_listings_would_say(seed: int, number: int):
    day = Stream(POOL, seed, quiet(rows_a_day=300, pages_a_day=20)).day(number)
    rows = day.rows
    rows.validate(full=True)
    assert rows.schema.equals(COLUMNS)
    assert {time.date() for time in rows["ts"].to_pylist()} == {day.date}
    assert rows["ts"].to_pylist() == sorted(rows["ts"].to_pylist())
    assert len(set(rows["request_id"].to_pylist())) == rows.num_rows
    assert np.allclose(np.linalg.norm(day.vectors, axis=1), 1, atol=0.002)
    web = np.array(rows["platform"].to_pylist()) == "web"
    assert (np.array([version is None for version in rows["app_version"].to_pylist()]) == web).all()
    without_item = np.array([item is None for item in rows["item_id"].to_pylist()])
    for name in ("category", "seller_id", "seller_size", "title_language"):
        assert (np.array([value is None for value in rows[name].to_pylist()]) == without_item).all()


def test_a_day_parts_into_windows_that_hold_every_row_once():
    day = Stream(POOL, 3, quiet()).day(9)
    parts = [day.window(part, 6) for part in range(6)]
    assert pa.concat_tables([part.rows for part in parts]).equals(day.rows.combine_chunks())
    assert sum(part.num_rows["all"] for part in parts) == day.window().num_rows["all"] == day.rows.num_rows
    assert all(part.start <= time < part.end for part in parts for time in part.rows["ts"].to_pylist())
    counted = day.window().num_rows
    for dimension in DIMENSIONS:
        known = day.rows.num_rows - day.rows[dimension].null_count
        assert sum(count for name, count in counted.items() if name.startswith(f"{dimension}=")) == known


def test_days_have_about_the_rows_that_params_ask_for_and_more_at_weekends():
    stream = Stream(POOL, 4, quiet())
    days = [stream.day(number) for number in range(28)]
    weekend = np.array([day.date.weekday() >= 5 for day in days])
    volume = np.array([day.rows.num_rows for day in days])
    assert 4500 < volume.mean() < 5500
    assert volume[weekend].mean() > 1.1 * volume[~weekend].mean()


@pytest.mark.parametrize("category", ["Fashion", "Home", "Hobbies", "Electronics"])
def test_mixes_spread_more_from_day_to_day_than_draws_from_one_mix_would(category: str):
    found = shares(Stream(POOL, 5, quiet(season=0.0, new_share=0.0, new_seller_share=0.0)), range(7 * 12), category=category)
    multinomial = found.mean() * (1 - found.mean()) / 5000
    assert found.var(ddof=1) > 1.5 * multinomial


def test_without_any_spread_days_are_draws_from_one_mix():
    spreads = ("season", "weekday", "week_spread", "day_spread", "hour_spread", "volume_spread", "season_brightness", "bursts_a_day")
    still = quiet(**dict.fromkeys(spreads, 0.0), new_share=0.0, new_seller_share=0.0, query_share=0.0)
    found = shares(Stream(POOL, 6, still), range(60), category="Home")
    multinomial = found.mean() * (1 - found.mean()) / 5000
    assert 0.5 * multinomial < found.var(ddof=1) < 1.7 * multinomial


def test_sellers_have_their_evenings():
    def unrest(bursts_a_day: float) -> float:
        even = dict.fromkeys(("season", "weekday", "week_spread", "day_spread", "hour_spread", "volume_spread"), 0.0)
        still = quiet(**even, weekend_volume=1.0, new_share=0.0, new_seller_share=0.0, bursts_a_day=bursts_a_day)
        stream = Stream(POOL, 7, still)
        rows = np.array([np.bincount(POOL.seller[stream.day(number).drawn.card], minlength=60)[:60] for number in range(28)])
        seen = rows.mean(axis=0) > 5
        return float(np.mean(rows.var(axis=0)[seen] / rows.mean(axis=0)[seen]))

    assert unrest(6.0) > 1.5 * unrest(0.0)


def test_the_catalogue_grows_and_new_sellers_come():
    stream = Stream(POOL, 8, quiet())
    there = [int(stream.year.on_sale(number).sum()) for number in (0, 90, 180, 364)]
    assert there[0] < there[1] < there[2] < there[3] == POOL.num_quiet
    shown = stream.day(30).drawn.card
    assert stream.year.on_sale(30)[shown].all()
    assert sum(shares(stream, range(0, 360, 20), seller_size="new") > 0) > 9


def test_winter_days_are_darker_than_summer_days():
    stream = Stream(POOL, 9, quiet(season_brightness=0.3))
    january, july = (np.mean([stream.day(day + n).rows["brightness"].to_numpy().mean() for n in range(7)]) for day in (0, 180))
    assert january < july - 0.02


def test_clicks_fall_on_good_photos_and_the_release_answers_as_it_should():
    stream = Stream(POOL, 10, quiet())
    extras = [stream.day(number).extras for number in range(5)]
    clicked, skipped = (np.concatenate([getattr(one, name) for one in extras]) for name in ("clicked_scores", "skipped_scores"))
    assert clicked.mean() > skipped.mean() + 0.03
    assert all((one.anchor_scores == one.anchor_targets).all() and one.golden_cosine.min() > 0.9999 for one in extras)
    assert all(one.num_findable > 0.9 * one.num_upserts and one.num_self_retrieved > 0.8 * one.num_augmented for one in extras)
    assert all(len(near) == 10 and probe not in near for one in extras for probe, near in one.probe_neighbours.items())
    assert 0 < np.mean([one.missing_share["category"] for one in extras]) < 0.1
