"""Which windows a check judges."""

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadParams
from monitoring.due import CheckConfig, asked_for, due, left_out
from monitoring.span import Kind

NOW = dt.datetime(2026, 3, 12, 3, 30, tzinfo=dt.UTC)
CFG = CheckConfig(cron="30 3 * * *", catch_up_days=7, workspace=[])


def days(last=None, since=None, now=NOW):
    return [span.name for span in due(now, last, since, CFG)]


def midnight(day):
    return dt.datetime(2026, 3, day, tzinfo=dt.UTC)


def test_yesterday_is_judged_and_again_when_asked_again():
    assert days() == days(last=midnight(11)) == days(last=midnight(12)) == ["2026-03-11"]


def test_missed_days_come_first_in_order_and_only_so_many():
    assert days(last=midnight(9)) == ["2026-03-09", "2026-03-10", "2026-03-11"]
    assert days(last=midnight(1)) == [f"2026-03-{day:02d}" for day in range(4, 12)]
    assert (left_out(NOW, midnight(1), CFG), left_out(NOW, midnight(4), CFG), left_out(NOW, None, CFG)) == (3, 0, 0)


def test_a_beginning_may_be_named_for_a_log_that_is_older_than_its_monitoring():
    assert len(days(since="2025-12-12")) == 90
    with pytest.raises(BadParams, match="--since 2026-03-12: a day before today"):
        days(since="2026-03-12")


def test_a_window_is_named_as_people_write_it():
    assert asked_for(NOW) is None
    assert asked_for(NOW, date="2026-03-04").name == "2026-03-04"
    assert asked_for(NOW, week="2026-W10") == asked_for(NOW, week="2026-03-04")
    assert asked_for(NOW, hour="2026-03-04T08").name == "2026-03-04T08"
    assert asked_for(NOW, hour="2026-03-04T08:59+02:00").name == "2026-03-04T06"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"date": "2026-03-12"}, "--date 2026-03-12 is not over yet.*from 2026-03-13 00:00 UTC on"),
        ({"week": "2026-W11"}, "is not over yet"),
        ({"hour": "2026-03-12T03"}, "is not over yet"),
        ({"date": "yesterday"}, "--date yesterday is no such time: write 2026-03-04"),
        ({"week": "2026-W99"}, "--week 2026-W99 is no such time"),
        ({"date": "2026-03-04", "hour": "2026-03-04T08"}, "name one window"),
    ],
)
def test_a_window_that_cannot_be_judged_is_refused(named, message):
    with pytest.raises(BadParams, match=message):
        asked_for(NOW, **named)


@given(last=st.integers(-60, 1), hour=st.integers(0, 23))
def test_days_follow_one_another_end_with_yesterday_and_go_on_where_the_last_ended(last, hour):
    now, end = midnight(12) + dt.timedelta(hours=hour), midnight(12) + dt.timedelta(days=last)
    spans = due(now, end, None, CFG)
    assert all(span.kind is Kind.DAY for span in spans)
    assert spans[-1].end == midnight(12)
    assert all(one.end == two.start for one, two in itertools.pairwise(spans))
    assert len(spans) <= 1 + CFG.catch_up_days
    missed = max(0, (spans[0].start - end) // dt.timedelta(days=1))
    assert missed == left_out(now, end, CFG)
