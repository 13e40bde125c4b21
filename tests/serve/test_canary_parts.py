"""The parts of the canary that need no gateway: what a rollback makes of the record, what is remembered of it, and the answers log."""

import asyncio
import datetime as dt
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import schema
from components.errors import BadState, Conflict, StoreFailed
from components.release.channel import EMPTY, PLATFORMS, Channel, arm_of, climbed, first, promoted, proposed, returned, withdrawn
from components.release.record import encode
from components.serve.access.caller import Caller
from components.serve.canary.answers import AnswerLog, Trial, compared, num_sellers
from components.serve.canary.aside import begun, within
from components.serve.canary.remembered import Remembered, Rollback
from components.serve.canary.rollback import Settled, going_by, is_named, leaving, without
from components.serve.canary.shadow import is_due
from components.serve.items import Hit
from components.serve.log.rows import ANSWERS
from tests.serve.log_shop import NOON, keys, opened, prediction, rows

A, B, C = "a" * 64, "b" * 64, "c" * 64


@st.composite
def channels(draw):
    """A record as a registry may hold it, after some releases came and went."""
    channel = first(EMPTY, A)
    for release_id in draw(st.lists(st.sampled_from([A, B, C]), max_size=6)):
        if release_id == channel.stable:
            continue
        channel = proposed(channel, release_id, NOON, draw(st.sampled_from([0.0, 0.5])), "test")
        if draw(st.booleans()):
            channel = promoted(climbed(channel, PLATFORMS, 100, NOON, "test"))
        elif draw(st.booleans()):
            channel = withdrawn(channel)
        else:
            return climbed(channel, PLATFORMS, draw(st.sampled_from([1, 50, 100])), NOON, "test")
    return channel


@given(channel=channels(), release_id=st.sampled_from([A, B, C]), users=st.lists(st.text(), max_size=5))
def test_after_a_rollback_the_release_has_no_traffic_and_the_record_is_sound(channel, release_id, users):
    if not is_named(channel, release_id) or (release_id == channel.stable and not channel.previous):
        with pytest.raises(Settled):
            without(channel, release_id)
        assert going_by(channel, [release_id]) == channel
        return
    after = without(channel, release_id)
    assert after.revision == channel.revision + 1
    assert not is_named(after, release_id)
    assert after.stable
    assert all(arm_of(after, platform, user) == "stable" for platform in PLATFORMS for user in users)
    encode(after)
    assert going_by(channel, [release_id]) == replace(after, revision=channel.revision)


@given(channel=channels())
def test_a_rollback_sends_back_the_candidate_first(channel):
    if channel.candidate is None and not channel.previous:
        with pytest.raises(Conflict):
            leaving(channel)
    else:
        assert leaving(channel) == (channel.candidate.release_id if channel.candidate else channel.stable)


def test_a_rollback_of_the_stable_release_takes_what_is_under_test_beside_it_with_it():
    channel = proposed(promoted(climbed(proposed(first(EMPTY, A), B, NOON, 0, ""), PLATFORMS, 100, NOON, "")), C, NOON, 0, "")
    after = without(channel, B)
    assert (after.stable, after.candidate) == (A, None)


@given(channel=channels(), rollbacks=st.lists(st.tuples(st.sampled_from([A, B, C]), st.text()), max_size=3))
def test_what_is_remembered_comes_back(tmp_path_factory, channel, rollbacks):
    state = tmp_path_factory.mktemp("state")
    kept = Remembered.open(state, "s3://shop/releases")
    kept.record, kept.taken, kept.passed = channel, frozenset({B, C}), frozenset({C})
    kept.rollbacks = tuple(Rollback(release_id, reason.encode(errors="replace").decode(), "me", NOON) for release_id, reason in rollbacks)
    kept.keep()
    again = Remembered.open(state, "s3://shop/releases")
    assert replace(again, read_s=0.0) == replace(kept, read_s=0.0)
    assert again.read_s == kept.read_s
    assert Remembered.open(state, "another registry").record == EMPTY


DAMAGED = ("", "{", "[]", '{"format": 2}', '{"format": 1, "registry": "r"}', '{"format": 1, "registry": "r", "record": 3}')


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_memory_is_told_of(tmp_path, text):
    (tmp_path / "channel.json").write_text(text)
    with pytest.raises(BadState, match="move it away"):
        Remembered.open(tmp_path, "r")


def caller(**changes) -> Caller:
    return Caller(**{"request_id": "r-1", "key_id": None, "scopes": frozenset(), "platform": "web", "user_id": "u-1"} | changes)


def trial(channel: Channel, **changes) -> Trial:
    return Trial(channel, channel.candidate, caller(**changes))


SHADOW = proposed(first(EMPTY, A), C, NOON, 0.3, "test")


def test_the_shadow_is_asked_its_share_of_requests_and_only_where_a_lane_is_in_the_shadow():
    due = sum(is_due(trial(SHADOW, request_id=f"r-{number}")) for number in range(2000)) / 2000
    assert abs(due - 0.3) < 0.05
    whole = replace(SHADOW, candidate=replace(SHADOW.candidate, shadow_share=1.0))
    assert is_due(trial(whole))
    assert not is_due(trial(whole, platform=None))
    assert not is_due(trial(climbed(whole, ["web"], 1, NOON, "")))
    assert is_due(trial(climbed(whole, ["web"], 1, NOON, ""), platform="ios"))
    assert not is_due(trial(returned(whole, ["web"], NOON, "")))


def hit(item_id, seller=None, score=0.5) -> Hit:
    return Hit(SimpleNamespace(item_id=item_id, seller_id=seller), 1.0, score)


def test_sellers_are_counted_once_and_items_without_one_each():
    assert num_sellers([]) == 0
    assert num_sellers([hit("a", "s"), hit("b", "s"), hit("c", "t"), hit("d"), hit("e")]) == 4


def test_overlap_is_of_the_stable_releases_items_and_the_shift_is_of_means():
    stable, candidate = [hit("a", score=0.5), hit("b", score=0.7)], [hit("b", score=0.7), hit("c", score=0.8), hit("d", score=0.9)]
    assert compared(stable, candidate) == {"overlap": 0.5, "score_shift": pytest.approx(0.2)}
    assert compared(stable, []) == {"overlap": 0.0, "score_shift": None}
    assert compared([], candidate) == {"overlap": None, "score_shift": None}


def add(log, number, **more) -> None:
    answers = AnswerLog(log, lambda user: f"hashed {user}", 30)
    answers.add(trial(SHADOW, request_id=f"r-{number}", **more), "stable", A, 200, 0.0125, [hit("a", score=0.25), hit("b", score=0.75)])


async def until_kept(log, number):
    async with asyncio.timeout(20):
        while log.state().answers_kept + log.state().answers_dropped < number:
            await asyncio.sleep(0.01)


def test_an_answer_is_a_row_of_its_table(tmp_path):
    async def run():
        async with opened(tmp_path) as log:
            add(log, 1)
            add(log, 2, platform=None, user_id=None)
            await until_kept(log, 2)

    asyncio.run(run())
    (path,) = (tmp_path / "store/answers").rglob("*.parquet")
    table = pq.read_table(path)
    assert table.schema.equals(schema.ANSWERS)
    one, two = table.to_pylist()
    assert isinstance(one.pop("ts"), dt.datetime)
    assert one == {
        "request_id": "r-1",
        "route": "similar",
        "revision": 2,
        "candidate_id": C,
        "arm": "stable",
        "release_id": A,
        "platform": "web",
        "user_id": "hashed u-1",
        "weight_percent": 0,
        "status": 200,
        "latency_ms": 12.5,
        "num_hits": 2,
        "num_sellers": 2,
        "hit_scores": [np.float16(0.25), np.float16(0.75)],
        "overlap": None,
        "score_shift": None,
    }
    assert (two["platform"], two["user_id"]) == (None, None)


def test_while_a_candidate_is_under_test_what_is_counted_comes_to_the_store_soon_and_the_rest_when_it_is_due(tmp_path):
    async def run():
        async with opened(tmp_path, clock=time.time, flush_s=600.0) as log:
            log.hasten(0.2)
            add(log, 1)
            await log.offer(prediction(1))
            await until_kept(log, 1)
            async with asyncio.timeout(20):
                while not keys(tmp_path):
                    await asyncio.sleep(0.05)
            early = keys(tmp_path)
            log.hasten(None)
            add(log, 2)
            await until_kept(log, 2)
            await asyncio.sleep(2.5)
            return early, keys(tmp_path)

    early, later = asyncio.run(run())
    assert [key.split("/")[0] for key in early] == ["answers"]
    assert later == early
    assert len(rows(tmp_path, "answers")) == 2  # closing flushes


def test_answers_that_find_no_room_are_dropped_and_counted_and_predictions_do_not_push_them_out(tmp_path):
    async def run():
        async with opened(tmp_path, max_waiting=10) as log:
            for number in range(15):
                log.offer(prediction(number))
                add(log, number)
            await until_kept(log, 15)
            return log.state()

    state = asyncio.run(run())
    assert (state.answers_kept, state.answers_dropped) == (10, 5)
    assert (state.predictions_kept, state.predictions_dropped) == (10, 5)


def test_answers_have_their_own_bound_on_the_disk(tmp_path):
    async def run():
        async with opened(tmp_path, flush_s=600.0, max_answer_backlog_mib=0.01) as log:
            for number in range(100):
                add(log, number)
            await until_kept(log, 100)
            return log.state()

    state = asyncio.run(run())
    assert 5 < state.answers_kept < 60
    assert state.answers_kept + state.answers_dropped == 100
    assert len(rows(tmp_path, ANSWERS)) == state.answers_kept


def test_a_call_that_hangs_is_not_waited_for_and_what_it_returns_later_is_not_lost():
    async def run():
        go = threading.Event()
        call = begun(lambda: go.wait() and "late")
        with pytest.raises(StoreFailed, match="has not answered within"):
            await within(call, 0.05, "the registry")
        go.set()
        assert await within(call, 10, "the registry") == "late"
        with pytest.raises(ZeroDivisionError):
            await within(begun(lambda: 1 / 0), 10, "the registry")

    asyncio.run(run())
