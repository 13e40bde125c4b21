"""Verdicts over days of a made-up shop."""

import dataclasses
import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.judged import CauseName, Verdict
from monitoring.judging.past import Values
from monitoring.snooze import Said, Snooze
from monitoring.span import Kind
from monitoring.verdict import Before
from monitoring.window import Health
from tests.monitoring.judging.days import FEATURES, HISTORY, RELEASE, judged, make_config, past_of, quiet_days, seen_day, spans

DAY = len(HISTORY)
DARK = {("brightness", "app_version=1.0"): -0.6, ("brightness", "all"): -0.24, ("brightness", "platform=web"): -0.24}
DARK_MEANS = DARK | {("brightness", "category=Shoes"): -0.24, ("brightness", "category=Bags"): -0.24}


def day_with(**changes):
    return seen_day(DAY, **changes)


def test_days_like_those_before_are_quiet():
    said = [judged(seen_day(DAY + number, seed=5)) for number in range(12)]
    assert not [one.reason for one in said if one.verdict is Verdict.DRIFT]
    assert sum(one.verdict is Verdict.QUIET for one in said) >= 10


def test_darker_photos_of_one_version_of_the_app_call_somebody_with_the_version_first():
    said = judged(day_with(moved=DARK_MEANS))
    assert said.verdict is Verdict.DRIFT
    assert said.pages
    (cause,) = said.causes
    assert (cause.name, cause.segments[0].segment) == (CauseName.DARKER_PHOTOS, "app_version=1.0")
    assert cause.key == "darker_photos/app_version=1.0"
    assert said.reason.startswith("darker photos in app_version=1.0: brightness 0.50 -> 0.4")
    assert said.findings[0].surprise > said.calibration.threshold
    assert all(len(one.part_surprises) in (0, 6) for one in said.findings)


def test_a_step_too_small_to_matter_is_watched():
    steady = [seen_day(number, fixed={("score_psi", "all"): 0.1 + 0.0005 * (-1) ** number}) for number in range(DAY)]
    said = judged(seen_day(DAY, fixed={("score_psi", "all"): 0.145}), steady, cfg=make_config())
    assert said.findings[0].measured.detector == "score_psi"
    assert said.findings[0].surprise > said.calibration.threshold
    assert said.verdict is Verdict.WATCH
    assert not said.pages


@pytest.mark.parametrize(("parts", "calls"), [((4,), False), ((3, 4), False), ((2, 3, 4), True), (range(6), True)])
def test_what_is_over_in_an_evening_calls_nobody(parts: tuple[int, ...], calls: bool):
    moved = {key: value * 6 / len(parts) ** 0.5 / 2 for key, value in DARK_MEANS.items()}
    said = judged(day_with(moved=moved, in_parts=parts))
    assert said.pages is calls
    assert said.verdict in (Verdict.DRIFT, Verdict.WATCH)


def test_a_probe_that_is_asked_once_a_day_must_be_far_off_or_off_twice():
    far = judged(day_with(fixed={("findable", "all"): 0.9}))
    assert [cause.key for cause in far.causes] == ["stale_index"]
    near = day_with(fixed={("findable", "all"): 0.3})
    assert judged(near).verdict is Verdict.WATCH
    again = judged(near, before=Before(watched=frozenset({("findable", "all")})))
    assert [cause.key for cause in again.causes] == ["stale_index"]


@pytest.mark.parametrize("name", ["golden", "anchors"])
def test_a_series_that_never_moved_calls_nobody_for_staying_where_it_is(name: str):
    said = judged(day_with(fixed={(name, "all"): 0.0}))
    (found,) = [one for one in said.findings if one.measured.detector == name]
    assert found.surprise < 1
    assert not found.alarming


@settings(max_examples=6, deadline=None)
@given(st.floats(0, 0.2), st.integers(0, 3))
def test_a_constant_series_never_alarms_on_the_same_constant(value: float, seed: int):
    fixed = {("score_psi", "all"): value}
    said = judged(seen_day(40, fixed=fixed, seed=seed), [seen_day(number, fixed=fixed, seed=seed) for number in range(40)])
    assert not [one for one in said.findings if one.measured.detector == "score_psi" and one.measured.segment == "all" and one.alarming]


def test_other_causes_are_named_by_what_speaks_for_them():
    moved_all = {(name, "all"): 0.5 for name in FEATURES}
    named = {
        CauseName.CALIBRATOR: {"fixed": {("anchors", "all"): 0.09}, "moved": {("image_score", "all"): 0.5}},
        CauseName.MODEL_CHANGED: {"fixed": {("golden", "all"): 0.4, ("anchors", "all"): 0.2}, "moved": moved_all},
        CauseName.STALE_INDEX: {"fixed": {("findable", "all"): 0.95, ("self_retrieval", "all"): 0.3}},
        CauseName.CATEGORY_MIX: {"moved": {("share", "category=Shoes"): 0.15, ("share", "category=Bags"): -0.15}},
        CauseName.SELLER_FLOOD: {"moved": {("newcomer_seller", "all"): 0.2, ("component_01", "all"): 0.3}},
        CauseName.CLIENT_MIX: {"moved": {("share", "app_version=1.0"): 0.25, ("share", "app_version=2.0"): -0.25}},
        CauseName.NEW_KIND: {"moved": {("component_03", "category=Shoes"): 0.8}},
        CauseName.RESIZE_BUG: {"moved": {("size", "app_version=2.0"): -0.9}},
        CauseName.SCORE_SHIFT: {"moved": {("image_score", "app_version=1.0"): -0.9}},
    }
    for cause, changes in named.items():
        said = judged(day_with(**changes))
        assert [one.name for one in said.causes] == [cause], said.reason
        assert said.pages


def test_a_category_that_nobody_knew_is_judged_by_its_share():
    seen = day_with()
    rows = dict(seen.whole.num_rows) | {"category=Boats": 600.0}
    parts = [dataclasses.replace(seen.whole, num_rows=rows) for _ in range(6)]
    whole = parts[0]
    with_boats = dataclasses.replace(seen, whole=whole, values=Values.of(seen.span, RELEASE, whole, parts))
    said = judged(with_boats)
    assert [cause.key for cause in said.causes] == ["category_mix/category=Boats"]


def test_a_client_that_fell_silent_is_seen_although_it_has_no_rows():
    said = judged(day_with(moved={("share", "app_version=1.0"): -1.0, ("share", "app_version=2.0"): 0.4}))
    assert [cause.name for cause in said.causes] == [CauseName.CLIENT_MIX]


def test_with_too_little_history_it_says_how_much_is_missing():
    said = judged(seen_day(20), HISTORY[:20])
    assert said.verdict is Verdict.CALIBRATING
    assert said.reason == "13 quiet days with a forecast so far, 28 are needed before anything is judged"
    assert not said.pages
    assert judged(seen_day(0), []).verdict is Verdict.CALIBRATING


def test_a_new_release_has_its_levels_learnt_anew_and_keeps_the_spreads():
    other = "b" * 64
    after = [seen_day(DAY + number, release=other) for number in range(8)]

    def after_days(num: int):
        days = [*HISTORY, *after[:num]]
        return judge_for(other, seen_day(DAY + num, release=other), days)

    first = after_days(3)
    assert first.verdict is Verdict.CALIBRATING
    assert first.reason.startswith("levels are learnt anew since a new release")
    assert "3 of 7" in first.reason
    settled = after_days(7)
    assert settled.verdict is Verdict.QUIET
    assert settled.calibration.num_days > 60


def judge_for(release: str, seen, days):
    from monitoring.verdict import judge

    return judge(seen, past_of(days, release), make_config(), 1.0)


def test_a_broken_window_calls_somebody_and_says_why():
    said = judged(day_with(health=Health.BROKEN, problems=("3 of 5 files cannot be read",)))
    assert (said.verdict, said.reason) == (Verdict.BROKEN, "3 of 5 files cannot be read")
    assert said.pages
    assert [cause.key for cause in said.causes] == ["broken_input"]


def test_too_few_rows_are_no_verdict():
    said = judged(day_with(health=Health.TOO_LITTLE, problems=("120 rows, 500 needed",)))
    assert (said.verdict, said.reason, said.pages) == (Verdict.TOO_LITTLE, "120 rows, 500 needed", False)


@pytest.mark.parametrize(("kind", "step"), [(Kind.HOUR, dt.timedelta(days=1)), (Kind.WEEK, dt.timedelta(days=7))])
def test_hours_and_weeks_are_watched_and_call_nobody(kind: Kind, step: dt.timedelta):
    windows = spans(kind, step, 40)
    days = [seen_day(number, span=span) for number, span in enumerate(windows[:-1])]
    quiet, loud = judged(seen_day(39, span=windows[-1]), days), judged(seen_day(39, DARK_MEANS, span=windows[-1]), days)
    assert quiet.verdict in (Verdict.QUIET, Verdict.WATCH)
    assert loud.verdict is Verdict.WATCH
    assert loud.causes[0].name is CauseName.DARKER_PHOTOS
    assert not loud.pages


def test_a_window_without_parts_is_judged_as_a_whole():
    def without_parts(seen):
        values = dataclasses.replace(seen.values, value_LK=seen.values.value_LK[:1])
        return dataclasses.replace(seen, values=values)

    days = [without_parts(day) for day in HISTORY]
    assert judged(without_parts(day_with()), days).verdict in (Verdict.QUIET, Verdict.WATCH)
    loud = judged(without_parts(day_with(moved=DARK_MEANS)), days)
    assert loud.causes[0].key == "darker_photos/app_version=1.0"
    assert all(one.part_surprises == () for one in loud.findings)
    mixed = judged(day_with(moved=DARK_MEANS), [*days[:40], *HISTORY[40:]])
    assert mixed.causes[0].key == "darker_photos/app_version=1.0"


def test_what_creeps_is_seen_by_the_week_and_not_by_the_day():
    def creeping(number: int, span=None):
        dark = {key: value * number / 40 * 0.5 for key, value in DARK_MEANS.items()}
        return seen_day(number, dark, span=span, seed=2)

    days = judged(creeping(59), [creeping(number) for number in range(59)])
    windows = spans(Kind.WEEK, dt.timedelta(days=7), 60)
    weeks = judged(creeping(59, windows[59]), [creeping(number, windows[number]) for number in range(59)])
    assert days.verdict is not Verdict.DRIFT
    assert any(one.measured.detector == "mean_brightness" and one.surprise > weeks.calibration.threshold for one in weeks.findings)


def test_a_snoozed_cause_is_shown_and_calls_nobody_until_the_snooze_ends():
    end = seen_day(DAY).span.end
    snooze = Snooze(cause="darker_photos", until=end + dt.timedelta(days=1), reason="7.1 is rolled back", who="me", said_at=end)
    said = Said(snoozes=(snooze,))
    silent = judged(day_with(moved=DARK_MEANS), said=said)
    assert (silent.verdict, silent.pages) == (Verdict.DRIFT, False)
    assert (silent.causes[0].snoozed_until, silent.causes[0].snooze_reason) == (snooze.until, "7.1 is rolled back")
    assert judged(day_with(moved=DARK_MEANS), said=said, now=end + dt.timedelta(days=2)).pages


def test_a_cause_that_goes_on_is_the_same_page():
    first = judged(day_with(moved=DARK_MEANS))
    assert [cause.name for cause in first.new_causes] == [CauseName.DARKER_PHOTOS]
    since = {cause.name: cause.since for cause in first.causes}
    second = judged(seen_day(DAY + 1, DARK_MEANS), [*HISTORY], before=Before(since))
    assert second.pages
    assert second.new_causes == ()
    assert second.causes[0].since == first.span.start


def test_a_shift_that_was_accepted_is_usual_after_a_week():
    shifted = [seen_day(DAY + number, DARK_MEANS) for number in range(9)]
    start = shifted[0].span.start
    from monitoring.verdict import judge

    def after(num: int):
        past = past_of([*HISTORY, *shifted[:num]], accepted=[start])
        return judge(shifted[num], past, make_config(), 1.0)

    assert after(3).verdict is Verdict.CALIBRATING
    assert after(8).verdict is Verdict.QUIET


def test_the_verdict_rests_on_the_past_alone():
    seen = day_with(moved=DARK_MEANS)
    once, again = judged(seen), judged(seen)
    assert once == again
    longer = judged(seen, [*quiet_days(DAY)])
    assert longer == once


@settings(max_examples=3, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_series_changes_nothing(random):
    def shuffled(values: Values) -> Values:
        order = list(range(len(values.keys)))
        random.shuffle(order)
        return dataclasses.replace(values, keys=tuple(values.keys[place] for place in order), value_LK=values.value_LK[:, order])

    days = [dataclasses.replace(day, values=shuffled(day.values)) for day in HISTORY]
    seen = day_with(moved=DARK_MEANS)
    one, other = judged(seen), judged(dataclasses.replace(seen, values=shuffled(seen.values)), days)
    assert one.causes[0].key == other.causes[0].key
    assert np.allclose([f.surprise for f in one.findings], [f.surprise for f in other.findings], rtol=1e-6, atol=1e-6)


def test_the_calibration_says_on_what_it_rests():
    resting = judged(day_with()).calibration
    assert resting.num_days == DAY - 7
    assert resting.num_series > 50
    assert 0 < resting.false_pages_per_quarter < resting.false_pages_upper <= 1.0
    generous = judged(day_with(), cfg=make_config())
    assert generous.calibration.threshold == resting.threshold
