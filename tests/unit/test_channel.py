"""The channel record: what changes keep, over random sequences of them, and its strict JSON."""

import dataclasses
import datetime as dt
import json
from types import MappingProxyType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from components.errors import BadState, Conflict
from components.release import channel as changes
from components.release.channel import EMPTY, FULL, MAX_PREVIOUS, PLATFORMS, Candidate, Channel, Lane, Step, arm_of, draw
from components.release.record import decode, encode

IDS = [f"{number:x}" * 64 for number in range(16)]
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
USERS = [f"user-{number}" for number in range(200)]
RUNGS = (1, 5, 25, 50, 100)

moments = st.datetimes(
    dt.datetime(2020, 1, 1), dt.datetime(2040, 1, 1), timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=9))])
)
some_platforms = st.sets(st.sampled_from(PLATFORMS), min_size=1)


def canary(channel, platform):
    """The users whose answers the candidate gives."""
    return {user for user in USERS if arm_of(channel, platform, user) == "canary"}


def under_test(weight=0, release_id=IDS[2]):
    """A record with a candidate that has so much of every platform."""
    record = changes.proposed(changes.first(EMPTY, IDS[1]), release_id, START, 0.1, "new")
    return changes.climbed(record, PLATFORMS, weight, START, "pass") if weight else record


class Changes(RuleBasedStateMachine):
    """Any change at any time: made by the rules, or refused as a Conflict that leaves the record as it was."""

    @initialize()
    def start(self):
        self.record, self.at, self.returned = changes.first(EMPTY, IDS[0]), START, set()

    def _try(self, change, *arguments):
        """The record before, where the change was made."""
        self.at += dt.timedelta(seconds=1)
        before = self.record
        try:
            self.record = change(before, *arguments)
        except Conflict:
            return None
        assert self.record.revision == before.revision + 1
        if self.record.candidate is None or before.candidate is None:
            self.returned = set()
        return before

    @rule(release_id=st.sampled_from(IDS))
    def propose(self, release_id):
        before = self._try(changes.proposed, release_id, self.at, 0.1, "new")
        assert (before is None) == (self._was.candidate is not None or self._was.stable == release_id)
        assert before is None or not any(canary(self.record, name) for name in PLATFORMS)

    @rule(platforms=some_platforms, weight=st.sampled_from([0, *RUNGS, 101, -1]))
    def climb(self, platforms, weight):
        before = self._try(changes.climbed, platforms, weight, self.at, "pass")
        if before:
            assert before.candidate.paused is None
            assert 0 < weight <= FULL
            for name in PLATFORMS:
                assert canary(before, name) <= canary(self.record, name), "a user left the canary while the weight rose"
                assert name in platforms or before.lane(name) == self.record.lane(name)

    @rule(platforms=some_platforms)
    def send_back(self, platforms):
        before = self._try(changes.returned, platforms, self.at, "fail")
        if before:
            self.returned |= platforms
            assert not any(canary(self.record, name) for name in platforms)
            assert all(before.lane(name) == self.record.lane(name) for name in set(PLATFORMS) - platforms)

    @rule(platforms=some_platforms)
    def hold(self, platforms):
        before = self._try(changes.held_back, platforms, "horizon")
        if before:
            assert all(before.lane(name).weight_percent == self.record.lane(name).weight_percent for name in PLATFORMS)
            assert all(before.lane(name).since == self.record.lane(name).since for name in PLATFORMS), (
                "it is counted since its weight began"
            )

    @rule()
    def pause(self):
        self._try(changes.paused, "lunch")

    @rule()
    def resume(self):
        before = self._try(changes.resumed, self.at, "back")
        if before:
            assert self.record.candidate.paused is None
            assert Step.HELD not in {self.record.lane(name).step for name in PLATFORMS}
            assert all(before.lane(name).weight_percent == self.record.lane(name).weight_percent for name in PLATFORMS)

    @rule()
    def promote(self):
        before = self._try(changes.promoted)
        if before:
            assert {(lane.step, lane.weight_percent) for lane in before.candidate.lanes.values()} == {(Step.CANARY, FULL)}
            assert before.candidate.paused is None
            assert self.record.stable == before.candidate.release_id
            assert self.record.previous[0] == before.stable
        else:
            candidate = self._was.candidate
            assert candidate is None or candidate.paused or {one.weight_percent for one in candidate.lanes.values()} != {FULL} or self._held

    @rule()
    def declare_stable(self):
        before = self._try(changes.declared_stable)
        if before:
            assert (self.record.stable, self.record.previous[0]) == (before.candidate.release_id, before.stable)

    @rule()
    def withdraw(self):
        before = self._try(changes.withdrawn)
        assert before is None or self.record.stable == before.stable

    @rule()
    def roll_back(self):
        before = self._try(changes.rolled_back)
        if before and before.candidate:
            assert (self.record.stable, self.record.candidate) == (before.stable, None)
        elif before:
            assert (self.record.stable, self.record.previous) == (before.previous[0], before.previous[1:])

    @precondition(lambda self: self.record.candidate is not None and not self.returned and self.record.candidate.paused is None)
    @rule()
    def climb_to_the_top(self):
        self._try(changes.resumed, self.at, "go")
        self._try(changes.climbed, PLATFORMS, FULL, self.at, "pass")
        assert all(canary(self.record, name) == set(USERS) for name in PLATFORMS)

    @property
    def _held(self):
        return any(lane.step is Step.HELD for lane in self._was.candidate.lanes.values())

    @invariant()
    def it_comes_back_as_it_was_written(self):
        if hasattr(self, "record"):
            assert decode(encode(self.record)) == self.record
            self._was = self.record

    @invariant()
    def returned_is_final(self):
        for name in getattr(self, "returned", ()):
            assert (self.record.lane(name).step, self.record.lane(name).weight_percent) == (Step.RETURNED, 0)

    @invariant()
    def there_is_always_a_stable_release_that_is_not_under_test(self):
        if hasattr(self, "record"):
            assert self.record.stable
            assert self.record.candidate is None or self.record.candidate.release_id != self.record.stable
            assert len(self.record.previous) <= MAX_PREVIOUS


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_first_release_is_stable_at_once_and_the_second_is_not():
    record = changes.first(EMPTY, IDS[1])
    assert (record.stable, record.candidate, record.revision) == (IDS[1], None, 1)
    with pytest.raises(Conflict, match="propose 222222222222 as a candidate"):
        changes.first(record, IDS[2])
    with pytest.raises(Conflict, match="no stable release yet"):
        changes.proposed(EMPTY, IDS[1], START, 0.1, "new")


@pytest.mark.parametrize("before", [0, *RUNGS])
@pytest.mark.parametrize("after", [-1, 0, *RUNGS, 101])
def test_a_weight_rises_or_stays_and_never_passes_all_users(before, after):
    record = under_test(before)
    if max(before, 1) <= after <= FULL:
        assert changes.climbed(record, ["web"], after, START, "pass").lane("web").weight_percent == after
    else:
        with pytest.raises(Conflict, match=f"at {before} %: it cannot go to {after} %"):
            changes.climbed(record, ["web"], after, START, "pass")


@given(st.lists(st.tuples(some_platforms, st.sampled_from([0, *RUNGS])), max_size=12))
def test_nobody_leaves_the_canary_while_the_weight_rises(climbs):
    record = under_test()
    for platforms, weight in climbs:
        before = record
        try:
            record = changes.climbed(record, platforms, weight, START, "pass")
        except Conflict:
            continue
        assert all(canary(before, name) <= canary(record, name) for name in PLATFORMS)


def test_the_last_ten_stable_releases_are_remembered():
    record = changes.first(EMPTY, IDS[0])
    for release_id in IDS[1:14]:
        full = changes.climbed(changes.proposed(record, release_id, START, 0.1, "new"), PLATFORMS, FULL, START, "pass")
        record = changes.promoted(full)
    assert (record.stable, record.previous) == (IDS[13], tuple(IDS[12:2:-1]))
    assert changes.rolled_back(record).stable == IDS[12]


def test_there_is_one_candidate_at_a_time():
    with pytest.raises(Conflict, match="222222222222 is under test"):
        changes.proposed(under_test(), IDS[3], START, 0.1, "another")


@pytest.mark.parametrize("weight", [1, 50, 99])
def test_a_release_that_lacks_users_anywhere_is_not_promoted(weight):
    record = changes.climbed(under_test(weight), ["web", "ios"], FULL, START, "pass")
    with pytest.raises(Conflict, match=f"has not every user yet: android canary {weight} %"):
        changes.promoted(record)
    assert changes.promoted(changes.climbed(record, ["android"], FULL, START, "pass")).stable == IDS[2]


def test_nothing_that_a_person_stopped_goes_on_by_itself():
    full = under_test(FULL)
    with pytest.raises(Conflict, match="the ladder is paused: lunch"):
        changes.promoted(changes.paused(full, "lunch"))
    with pytest.raises(Conflict, match="web held 100 %"):
        changes.promoted(changes.held_back(full, ["web"], "horizon"))
    with pytest.raises(Conflict, match="web is held at 5 %: it cannot go to 25 %"):
        changes.climbed(changes.held_back(under_test(5), ["web"], "horizon"), ["web"], 25, START, "pass")
    assert changes.returned(changes.paused(full, "lunch"), ["web"], START, "fail").lane("web").step is Step.RETURNED


def test_a_platform_that_was_returned_keeps_its_reason_and_never_climbs_again():
    record = changes.returned(under_test(25), ["ios"], START, "tap_rate fell")
    record = changes.returned(record, PLATFORMS, START + dt.timedelta(hours=1), "mismatch")
    assert (record.lane("ios").reason, record.lane("ios").since) == ("tap_rate fell", START)
    assert record.lane("web").reason == "mismatch"
    for change in (lambda r: changes.climbed(r, ["ios"], 25, START, "x"), lambda r: changes.promoted(r)):
        with pytest.raises(Conflict):
            change(record)
    assert changes.resumed(record, START, "x").lane("ios").step is Step.RETURNED


def test_without_a_candidate_there_is_nothing_to_change():
    record = changes.first(EMPTY, IDS[1])
    for change in (
        lambda: changes.climbed(record, ["web"], 5, START, "x"),
        lambda: changes.returned(record, ["web"], START, "x"),
        lambda: changes.held_back(record, ["web"], "x"),
        lambda: changes.paused(record, "x"),
        lambda: changes.resumed(record, START, "x"),
        lambda: changes.promoted(record),
        lambda: changes.withdrawn(record),
        lambda: changes.declared_stable(record),
        lambda: record.lane("web"),
    ):
        with pytest.raises(Conflict, match="no release is under test"):
            change()
    with pytest.raises(Conflict, match="no earlier stable release"):
        changes.rolled_back(record)


@given(st.text(), st.sampled_from(IDS))
def test_every_user_stands_somewhere_below_one(user, release_id):
    assert 0 <= draw(user, release_id) < 1
    assert draw(user, release_id) == draw(user, release_id)


@pytest.mark.parametrize("digest", [b"\xff" * 32, b"\xff" * 6 + b"\xf8" + b"\xff" * 25])
def test_the_very_last_user_is_in_a_canary_of_all(digest, monkeypatch):
    """64 bits of ones, as a float, would be 1: that user would never be reached."""
    monkeypatch.setattr(changes.hashlib, "sha256", lambda data: type("Hash", (), {"digest": lambda self: digest})())
    assert draw("u", IDS[1]) < 1
    assert arm_of(under_test(FULL), "web", "u") == "canary"
    assert arm_of(under_test(50), "web", "u") == "stable"


@pytest.mark.parametrize("weight", RUNGS)
def test_the_canary_has_the_share_of_users_that_the_weight_says(weight):
    users = [f"u{number}" for number in range(20_000)]
    share = sum(arm_of(under_test(weight), "ios", user) == "canary" for user in users) / len(users)
    assert share == pytest.approx(weight / 100, abs=4 * (weight / 100 * (1 - weight / 100) / len(users)) ** 0.5 + 1e-9)


def test_each_candidate_orders_the_users_anew():
    first, second = canary(under_test(25, IDS[2]), "web"), canary(under_test(25, IDS[3]), "web")
    assert first != second
    assert canary(under_test(25, IDS[2]), "ios") == first


@pytest.mark.parametrize(("platform", "user"), [(None, "u"), ("web", None), (None, None)])
def test_who_has_no_user_or_platform_gets_the_stable_release(platform, user):
    assert arm_of(under_test(FULL), platform, user) == "stable"
    assert arm_of(changes.first(EMPTY, IDS[1]), "web", "u") == "stable"


# --- as JSON


@st.composite
def lanes(draw_from):
    step = draw_from(st.sampled_from(Step))
    weight = 0 if step in (Step.SHADOW, Step.RETURNED) else draw_from(st.integers(0, FULL))
    return Lane(step, weight, draw_from(moments), draw_from(st.text(st.characters(exclude_categories=["Cs"]))))


@st.composite
def records(draw_from):
    if draw_from(st.booleans()) and draw_from(st.booleans()):
        return EMPTY
    stable, other, *rest = draw_from(st.permutations(IDS))
    candidate = None
    if draw_from(st.booleans()):
        of_platforms = MappingProxyType({name: draw_from(lanes()) for name in PLATFORMS})
        share, paused = draw_from(st.floats(0, 1)), draw_from(st.none() | st.just("昼休み"))
        candidate = Candidate(other, draw_from(moments), share, of_platforms, paused)
    return Channel(draw_from(st.integers(1, 2**40)), stable, tuple(rest[: draw_from(st.integers(0, MAX_PREVIOUS))]), candidate)


@given(records())
def test_a_record_comes_back_as_it_was_written(record):
    data = encode(record)
    assert decode(data) == record
    assert encode(decode(data)) == data


def edited(path, value):
    """The JSON of a good record with one value changed; `...` takes it away."""
    whole = json.loads(encode(under_test(5)))
    *steps, last = path.split(".")
    place = whole
    for step in steps:
        place = place[step]
    place.pop(last) if value is ... else place.__setitem__(last, value)
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("colour", "red", "colour: Extra inputs"),
        ("candidate.lanes.web.colour", "red", r"candidate\.lanes\.web\.colour: Extra inputs"),
        ("candidate.lanes.tv", {}, r"candidate\.lanes\.tv"),
        ("candidate.lanes.web", ..., "lanes: web is missing"),
        ("candidate.lanes.web.weight_percent", 101, "less than or equal to 100"),
        ("candidate.lanes.web.weight_percent", -1, "greater than or equal to 0"),
        ("candidate.lanes.web.weight_percent", 5.0, "valid integer"),
        ("candidate.lanes.web.weight_percent", "5", "valid integer"),
        ("candidate.lanes.web.weight_percent", True, "valid integer"),
        ("candidate.lanes.web.step", "returned", "step returned has no users"),
        ("candidate.lanes.web.step", "climbing", "'shadow', 'canary', 'held' or 'returned'"),
        ("candidate.lanes.web.since", "2026-01-01T00:00:00", "timezone"),
        ("candidate.lanes.web.since", 5, "datetime"),
        ("candidate.lanes.web.reason", None, "valid string"),
        ("candidate.shadow_share", 1.5, "less than or equal to 1"),
        ("candidate.release_id", "../../etc", "should match pattern"),
        ("candidate.release_id", IDS[1], "the candidate is the stable release"),
        ("candidate.release_id", IDS[2] + "\n", "should match pattern"),
        ("candidate.paused", ..., "paused: Field required"),
        ("revision", -1, "greater than or equal to 0"),
        ("revision", ..., "revision: Field required"),
        ("stable", None, "there is no stable release, though"),
        ("stable", IDS[1][:12], "should match pattern"),
        ("previous", IDS[:11], "at most 10 items"),
        ("format", ..., "format: Field required"),
        ("format", 0, "format: Input should be 1"),
        ("format", 2, "has format 2, this version reads 1: install the version"),
    ],
)
def test_a_record_that_no_change_makes_is_refused_by_name(path, value, says):
    with pytest.raises(BadState, match=says) as caught:
        decode(edited(path, value))
    assert "channel.json" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"format": 1, "format": 1}',
        b"[" * 100_000,
        encode(under_test(5))[:-20],
        encode(under_test(5)) + b"{}",
        encode(under_test(5)).replace(b'"revision"', b'"revision": 7, "revision"'),
        encode(under_test(5)).replace(b"0.1", b"NaN"),
        encode(under_test(5)).replace(b'"pass"', b'"\\ud800"'),
    ],
)
def test_what_is_no_whole_strict_json_is_refused(data):
    with pytest.raises(BadState, match=r"channel\.json .*Put back an earlier version"):
        decode(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_record_or_bad_state(data):
    try:
        decode(data)
    except BadState:
        return
    assert decode(encode(decode(data))) == decode(data)


@given(records(), st.data())
def test_a_byte_that_fell_over_is_told_or_gives_another_sound_record(record, data):
    good = bytearray(encode(record))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    assume(bytes(good) != encode(record))
    try:
        found = decode(bytes(good))
    except BadState:
        return
    assert decode(encode(found)) == found


@pytest.mark.parametrize(
    "broken",
    [
        dataclasses.replace(under_test(5), stable=None),
        dataclasses.replace(under_test(5), stable="v1"),
        changes.paused(under_test(5), "half of a pair: \ud800"),
        changes.climbed(under_test(5), ["web"], 25, dt.datetime(2026, 1, 1), "no time zone"),
        changes.proposed(changes.first(EMPTY, IDS[1]), IDS[2], START, 1.5, "too much shadow"),
    ],
)
def test_a_record_that_could_not_be_read_again_is_never_written(broken):
    with pytest.raises(BadState):
        encode(broken)
