"""Snoozes and acceptances: what holds, for how long, and what is refused."""

import datetime as dt

import pytest

from components.errors import BadParams, BadState
from components.objects import FolderStore
from monitoring.judged import CauseName
from monitoring.snooze import KEY, SnoozeBook
from tests.monitoring.verdicts import cause

NOW = dt.datetime(2026, 3, 4, 3, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
DARK, OTHER = cause(), cause(segment="app_version=3.2.0")


@pytest.fixture
def book(tmp_path) -> SnoozeBook:
    return SnoozeBook(FolderStore(tmp_path))


def snoozed(book: SnoozeBook, name: str = DARK.key, until: dt.datetime = NOW + DAY, reason: str = "3.1.0 is rolled back", **changes):
    told = {"who": "me", "now": NOW, "max_days": 30} | changes
    return book.snooze(name, until, reason, told["who"], told["now"], told["max_days"])


def test_a_snooze_holds_for_its_cause_until_its_end(book: SnoozeBook):
    made = snoozed(book)
    said = book.read()
    assert said.silencing(DARK, NOW + HOUR) == made
    assert said.silencing(DARK, NOW + DAY) is None
    assert said.silencing(OTHER, NOW + HOUR) is None


def test_a_snooze_of_a_name_holds_for_every_segment(book: SnoozeBook):
    snoozed(book, "darker_photos")
    assert book.read().silencing(OTHER, NOW)
    assert book.read().silencing(cause(CauseName.NEW_KIND), NOW) is None


def test_what_is_said_last_of_a_cause_holds_and_it_can_be_taken_back(book: SnoozeBook):
    snoozed(book)
    later = snoozed(book, until=NOW + 2 * DAY, reason="still")
    assert book.read().snoozes == (later,)
    assert book.wake(DARK.key)
    assert book.read().silencing(DARK, NOW) is None
    assert not book.wake(DARK.key)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"until": NOW}, "is over already"),
        ({"until": NOW + 31 * DAY}, r"may last 30 days \(monitor.verdict.max_snooze_days\), this one ends on 2026-04-04"),
        ({"reason": "  "}, "a reason must be given: whoever is woken next reads it"),
        ({"who": ""}, "a name must be given"),
        ({"name": "darker_photo/all"}, "no cause is called 'darker_photo'; did you mean 'darker_photos'?"),
        ({"name": "xyz"}, "no cause is called 'xyz'; there are: darker_photos, resize_bug"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(book: SnoozeBook, changes, words: str):
    with pytest.raises(BadParams, match=words):
        snoozed(book, **changes)
    assert book.read().snoozes == ()


def test_an_accepted_shift_is_normal_from_its_first_window_on(book: SnoozeBook):
    book.accept("darker_photos", NOW, "the new camera", "me", NOW + DAY)
    said = book.read()
    assert said.accepts([DARK.key], NOW)
    assert not said.accepts([DARK.key], NOW - HOUR)
    assert not said.accepts([DARK.key, "new_kind/category=Shoes"], NOW)
    assert not said.accepts([], NOW)


def test_a_shift_that_nobody_saw_yet_cannot_be_accepted(book: SnoozeBook):
    with pytest.raises(BadParams, match="accept a shift from a window that was judged"):
        book.accept("darker_photos", NOW + HOUR, "later", "me", NOW)


def test_a_damaged_book_is_told_of(book: SnoozeBook):
    book.store.put(KEY, b'{"snoozes": 3}')
    with pytest.raises(BadState, match="put back an earlier version of it, or remove it"):
        book.read()
