"""What is kept of windows, in a folder and in a bucket: numbers a window, and a row of each."""

import datetime as dt
import threading

import numpy as np
import pytest

from components.errors import BadState
from components.objects import FolderStore, open_store
from monitoring.history import KEY, SUMMARIES, History, Summary, is_quiet
from monitoring.judged import Calibration, Cause, CauseName, Verdict
from monitoring.snooze import NOTHING_SAID, Acceptance, Said
from monitoring.span import Kind, day_of, hour_of
from tests import moto_s3
from tests.monitoring.judging.days import FIRST_DAY, RELEASE, make_config, seen_day
from tests.monitoring.verdicts import cause, judged

NOW = dt.datetime(2026, 6, 1, 4, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
FOLLOW = make_config().day


@pytest.fixture
def history(tmp_path) -> History:
    return History(FolderStore(tmp_path))


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A bucket of a server that honours conditional writes."""
    with moto_s3.serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield open_store(f"s3://{moto_s3.BUCKET}/{tmp_path.name}")


class Counting(FolderStore):
    """A folder that says what was asked for."""

    def __init__(self, root) -> None:
        super().__init__(root)
        object.__setattr__(self, "asked", [])

    def get(self, key: str) -> bytes | None:
        self.asked.append(key)
        return super().get(key)


def day_judged(number: int, verdict: Verdict = Verdict.QUIET, *causes: Cause, **changes):
    """What was said of day `number` of the shop."""
    return judged(verdict, *causes, span=day_of(FIRST_DAY + number * DAY), **changes)


def filled(history: History, num: int, verdicts: dict[int, Verdict] | None = None) -> None:
    """`num` days, quiet but for `verdicts`."""
    for number in range(num):
        history.add(seen_day(number).values)
        verdict = (verdicts or {}).get(number, Verdict.QUIET)
        history.note(day_judged(number, verdict, *([cause()] if verdict is Verdict.DRIFT else [])), NOW)


def test_what_is_written_is_read_back(history: History):
    filled(history, 3)
    past, before = history.before(seen_day(3).span, RELEASE, FOLLOW, NOTHING_SAID)
    assert len(past.windows) == 3
    for number, window in enumerate(past.windows):
        written = seen_day(number).values
        assert (window.span, window.release_id, window.keys) == (written.span, RELEASE, written.keys)
        assert np.array_equal(window.value_LK, written.value_LK, equal_nan=True)
    assert before.since == {}


def test_a_window_that_is_judged_again_stands_once_with_what_was_said_last(history: History):
    filled(history, 5)
    history.note(day_judged(2, Verdict.WATCH), NOW + DAY)
    found = history.summaries(Kind.DAY)
    assert [one.span.name for one in found] == [f"2026-01-{day:02d}" for day in range(1, 6)]
    assert [one.verdict for one in found] == [Verdict.QUIET, Verdict.QUIET, Verdict.WATCH, Verdict.QUIET, Verdict.QUIET]


def test_a_window_rests_on_those_before_it_whatever_was_judged_later(history: History):
    filled(history, 10)
    past, _ = history.before(seen_day(4).span, RELEASE, FOLLOW, NOTHING_SAID)
    assert [window.span.name for window in past.windows] == [f"2026-01-{day:02d}" for day in range(1, 5)]


def test_windows_that_paged_are_left_out_until_somebody_accepts_the_shift(history: History):
    filled(history, 8, {5: Verdict.DRIFT, 6: Verdict.BROKEN, 7: Verdict.DRIFT})
    span = seen_day(8).span
    past, before = history.before(span, RELEASE, FOLLOW, NOTHING_SAID)
    assert [window.span.start.day for window in past.windows] == [1, 2, 3, 4, 5]
    assert before.since == {CauseName.DARKER_PHOTOS: seen_day(7).span.start}
    yes = Acceptance(cause="darker_photos", since=seen_day(5).span.start, reason="the new camera", who="me", said_at=NOW)
    past, _ = history.before(span, RELEASE, FOLLOW, Said(accepted=(yes,)))
    assert [window.span.start.day for window in past.windows] == [1, 2, 3, 4, 5, 6, 8]
    assert past.anew.tolist() == [False] * 5 + [True, False, False]


def test_a_cause_that_goes_on_is_the_same_page_until_a_window_without_it(history: History):
    first, later = seen_day(0).span.start, seen_day(3).span.start
    for number, since in ((0, first), (1, first), (3, later)):
        history.note(day_judged(number, Verdict.DRIFT, cause(since=since)), NOW)
    history.note(day_judged(2), NOW)
    found = history.summaries(Kind.DAY)
    assert [one.is_new_page for one in found] == [True, False, False, True]
    assert [bool(one.calling) for one in found] == [True, True, False, True]
    assert history.before(seen_day(2).span, RELEASE, FOLLOW, NOTHING_SAID)[1].since == {CauseName.DARKER_PHOTOS: first}
    assert history.before(seen_day(3).span, RELEASE, FOLLOW, NOTHING_SAID)[1].since == {}


def test_only_the_windows_that_a_forecast_looks_at_are_read(tmp_path):
    store = Counting(tmp_path)
    history = History(store)
    filled(history, 130)
    store.asked.clear()
    past, _ = history.before(seen_day(130).span, RELEASE, FOLLOW, NOTHING_SAID)
    assert len(past.windows) == len(store.asked) == FOLLOW.num_past


def test_an_hour_is_compared_with_the_same_hour_of_days_before(history: History):
    for day in range(4):
        for hour in (8, 9):
            span = hour_of(dt.datetime(2026, 1, 5 + day, hour, tzinfo=dt.UTC))
            history.add(seen_day(day, span=span).values)
            history.note(judged(Verdict.QUIET, span=span), NOW)
    past, _ = history.before(hour_of(dt.datetime(2026, 1, 9, 8, tzinfo=dt.UTC)), RELEASE, make_config().hour, NOTHING_SAID)
    assert [window.span.name for window in past.windows] == [f"2026-01-{day:02d}T08" for day in (5, 6, 7, 8)]


def test_numbers_that_are_gone_are_left_out_and_those_that_are_damaged_are_told_of(history: History, caplog):
    filled(history, 6)
    history.store.delete("drift/values/day/2026/2026-01-02.parquet")
    past, _ = history.before(seen_day(6).span, RELEASE, FOLLOW, NOTHING_SAID)
    assert len(past.windows) == 5
    assert "the numbers of 1 windows are gone, the first of 2026-01-02" in caplog.text
    history.store.put("drift/values/day/2026/2026-01-04.parquet", b"no parquet")
    with pytest.raises(BadState, match=r"2026-01-04.parquet is damaged .*remove it, then judge 2026-01-04 again"):
        history.before(seen_day(6).span, RELEASE, FOLLOW, NOTHING_SAID)


def test_summaries_that_are_damaged_are_told_of(history: History):
    history.store.put(KEY, b"PAR1 no more")
    with pytest.raises(BadState, match="put back an earlier version of it, or remove it"):
        history.summaries(Kind.DAY)


def test_two_that_note_at_once_both_stand(history: History):
    def note(first: int) -> None:
        for number in range(first, 20, 2):
            history.note(day_judged(number), NOW)

    both = [threading.Thread(target=note, args=(first,)) for first in (0, 1)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(history.summaries(Kind.DAY)) == 20


def test_ten_thousand_windows_are_kept_in_one_small_table(history: History):
    import pyarrow as pa

    from monitoring.history import _bytes, _row

    spans = [hour_of(dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + number * dt.timedelta(hours=1)) for number in range(10_000)]
    rows = [_row(Summary.of(judged(Verdict.DRIFT, cause(), span=span), NOW)) for span in spans]
    data = _bytes(pa.Table.from_pylist(rows, SUMMARIES))
    assert len(data) < 2 << 20
    history.store.swap(KEY, data, None)
    found = history.summaries(Kind.HOUR, last=90)
    assert [one.span for one in found] == spans[-90:]
    history.note(judged(Verdict.QUIET, span=spans[-1]), NOW)
    assert history.summaries(Kind.HOUR, last=1)[0].verdict is Verdict.QUIET


def test_a_window_before_anything_was_judged_has_no_past(history: History):
    past, before = history.before(seen_day(0).span, RELEASE, FOLLOW, NOTHING_SAID)
    assert past.windows == ()
    assert (dict(before.since), before.watched) == ({}, frozenset())
    assert history.summaries(Kind.WEEK) == []


def test_what_was_not_judged_has_neither_surprise_nor_threshold(history: History):
    none = Calibration(3, 0, float("inf"), float("nan"), float("nan"))
    history.note(day_judged(0, Verdict.CALIBRATING, calibration=none, findings=()), NOW)
    (found,) = history.summaries(Kind.DAY)
    assert (found.surprise, found.threshold) == (None, None)
    assert is_quiet(found, NOTHING_SAID)


def test_it_works_in_a_bucket_too(bucket):
    history = History(bucket)
    filled(history, 2, {1: Verdict.WATCH})
    past, _ = history.before(seen_day(2).span, RELEASE, FOLLOW, NOTHING_SAID)
    assert len(past.windows) == 2
    assert [one.verdict for one in history.summaries(Kind.DAY)] == [Verdict.QUIET, Verdict.WATCH]
