"""Events on the wire: each is taken or refused for itself, with a reason that repeats nothing of what was sent."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.serve.log.intake import EventIntake
from components.serve.log.records import Scribe
from components.serve.log.rows import encode
from components.serve.log.users import UserHash
from components.serve.log.wire import MAX_ITEMS, EventsRequest, event_of

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
SCRIBE = Scribe(UserHash(b"0123456789abcdef"), dt.timedelta(minutes=5), dt.timedelta(days=7))
INTAKE = EventIntake(None, SCRIBE)


def exposure(**changes):
    made = {"type": "exposure", "event_id": "e-1", "request_id": "r-1", "surface": "search", "platform": "web", "user_id": "u-1"}
    made |= {"query": "shirt", "release_id": "r1", "items": [shown(0), shown(1)]}
    return made | changes


def shown(position, **changes):
    return {"item_id": f"i-{int(position)}", "position": position, "price": 900.0} | changes


def click(**changes):
    return {"type": "click", "event_id": "a-1", "request_id": "r-1", "item_id": "i-1"} | changes


def test_an_exposure_becomes_a_row_an_item_and_a_click_one():
    record = SCRIBE.record(event_of(exposure(ts="2026-03-02T20:59:00+09:00", simulated=True)), NOW)
    common = {"request_id": "r-1", "surface": "search", "platform": "web", "user_id": SCRIBE.hashed("u-1"), "query": "shirt"}
    common |= {"source_item_id": None, "release_id": "r1", "simulated": True, "price": 900.0, "ts": NOW - dt.timedelta(minutes=1)}
    assert (record.event_id, record.table, record.stamped) == ("e-1", "impressions", False)
    assert list(record.rows) == [common | {"event_id": f"e-1/{n}", "item_id": f"i-{n}", "position": n} for n in (0, 1)]
    record = SCRIBE.record(event_of(click(type="purchase", user_id="u-1")), NOW)
    assert (record.event_id, record.table, record.stamped) == ("a-1", "clicks", True)
    (row,) = record.rows
    assert (row["action"], row["ts"], row["user_id"], row["platform"]) == ("purchase", NOW, SCRIBE.hashed("u-1"), None)


def test_item_ids_are_logged_as_listings_have_them():
    record = SCRIBE.record(event_of(click(item_id=" cafe\u0301 ")), NOW)
    assert record.rows[0]["item_id"] == "caf\u00e9"


FAULTS = {
    "no object": (3, ""),
    "no type": ({"event_id": "x"}, "'type'"),
    "a type that is not known": (click(type="hover"), "type"),
    "no event_id": ({k: v for k, v in click().items() if k != "event_id"}, "event_id"),
    "an event_id with a blank": (click(event_id="a 1"), "event_id"),
    "an event_id with a slash, as we derive them": (click(event_id="e-1/0"), "event_id"),
    "an event_id too long": (click(event_id="a" * 129), "event_id"),
    "a key that is not known": (click(colour="red"), "colour"),
    "a blank id": (click(item_id="  "), "item_id: is blank"),
    "an id too long": (click(request_id="r" * 129), "request_id"),
    "a number for an id": (click(request_id=7), "request_id"),
    "a NUL": (click(item_id="i\0"), "item_id: holds a NUL"),
    "half of a surrogate pair": (click(item_id="\ud800"), "item_id"),
    "a time without a zone": (click(ts="2026-03-02T12:00:00"), "ts"),
    "a time as a number": (click(ts=1772452800), "ts: is no text"),
    "no time": (click(ts="soon"), "ts"),
    "a platform that is not known": (exposure(platform="tv"), "platform"),
    "no user": (exposure(user_id=None), "user_id"),
    "no items": (exposure(items=[]), "items"),
    "too many items": (exposure(items=[shown(n) for n in range(MAX_ITEMS + 1)]), "items"),
    "a search without its query": (exposure(query=None), "a search has a query"),
    "a page of no item": (exposure(surface="similar", query=None), "a search has a query"),
    "a page of both": (exposure(source_item_id="i-3"), "a search has a query"),
    "two items at one position": (exposure(items=[shown(0), shown(0, item_id="other")]), "two items at one position"),
    "one item at two positions": (exposure(items=[shown(0), shown(1, item_id=" i-0")]), "one item at two"),
    "a position below 0": (exposure(items=[shown(-1)]), "items.0.position"),
    "a position that is true": (exposure(items=[shown(True)]), "items.0.position"),
    "a price of nothing": (exposure(items=[shown(0, price=0)]), "items.0.price"),
    "a price that is no number": (exposure(items=[shown(0, price=float("nan"))]), "items.0.price"),
    "a price without end": (exposure(items=[shown(0, price=float("inf"))]), "items.0.price"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_event_is_refused_by_name_and_costs_the_others_nothing(fault):
    value, said = FAULTS[fault]
    judged = INTAKE.judge([click(), value, exposure()], NOW)
    assert [len(record.rows) for record in judged.taken] == [1, 2]
    (refused,) = judged.refused
    assert (refused.index, refused.code) == (1, "invalid")
    assert said in refused.detail


def test_times_too_far_ahead_or_too_old_are_refused_with_a_code_of_their_own():
    times = {"time_in_future": NOW + dt.timedelta(seconds=301), "time_too_old": NOW - dt.timedelta(days=7, seconds=1)}
    judged = INTAKE.judge([click(ts=time.isoformat()) for time in times.values()], NOW)
    assert [(one.event_id, one.code) for one in judged.refused] == [("a-1", code) for code in times]
    assert "serve.log.max_clock_skew_s" in judged.refused[0].detail
    edge = INTAKE.judge([click(ts=(NOW + dt.timedelta(seconds=s)).isoformat()) for s in (300, -7 * 86_400)], NOW)
    assert (len(edge.taken), edge.refused) == (2, [])


def test_a_refusal_repeats_no_user_id_and_not_too_much():
    (refused,) = INTAKE.judge([exposure(user_id="person@shop.example\0", platform="person@shop.example")], NOW).refused
    assert "person" not in refused.detail
    many = exposure(**{f"key{n}" * 40: 1 for n in range(50)})
    assert len(INTAKE.judge([many], NOW).refused[0].detail) < 500


@pytest.mark.parametrize("body", [{}, {"events": []}, {"events": {}}, {"events": [], "more": 1}, {"events": None}])
def test_an_envelope_that_is_none_is_refused_whole(body):
    with pytest.raises(ValidationError):
        EventsRequest.model_validate(body)


def test_the_description_shows_what_an_event_must_be():
    described = json.dumps(EventsRequest.model_json_schema())
    assert all(word in described for word in ('"Exposure"', '"Act"', "request_id", "source_item_id"))


TEXT = st.text(max_size=6) | st.sampled_from(["\0", "\ud800", " ", "e\u0301", "シャツ", "a/b", "\u2028"])
CELL = (
    TEXT | st.none() | st.booleans() | st.integers() | st.floats() | st.dates().map(str) | st.datetimes().map(lambda t: t.isoformat() + "Z")
)
KEYS = st.sampled_from([*exposure(), *click(), "ts", "source_item_id", "simulated", "x"])


@given(
    st.sampled_from([exposure(), click()]), st.dictionaries(KEYS, CELL | st.lists(st.dictionaries(st.sampled_from(list(shown(0))), CELL)))
)
def test_whatever_an_event_holds_it_is_refused_by_name_or_its_records_fit_their_table(sound, changes):
    judged = INTAKE.judge([sound | changes], NOW)
    assert all(encode(record).num_bytes > 0 for record in judged.taken)
    assert [bool(one.detail) for one in judged.refused] == [True] * (1 - len(judged.taken))
