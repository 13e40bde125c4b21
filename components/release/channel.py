"""The channel record: which release is stable, which is the candidate, and how much of each platform's traffic the candidate has.

It lies in the registry as one object that changes by compare-and-swap alone (components/release/registry.py). Everything here is pure: a
change takes a record and gives the next one, whose `revision` is one higher.
"""

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args

from components.errors import Conflict

Platform = Literal["web", "ios", "android"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
Arm = Literal["stable", "canary"]
FULL = 100
MAX_PREVIOUS = 10


class Step(StrEnum):
    """Where a platform stands with the candidate. `returned` is final: its traffic went back to the stable release."""

    SHADOW = "shadow"
    CANARY = "canary"
    HELD = "held"
    RETURNED = "returned"


@dataclass(frozen=True)
class Lane:
    """One platform's part: the percentage of its users in the canary, since when, and why."""

    step: Step
    weight_percent: int
    since: dt.datetime
    reason: str


@dataclass(frozen=True)
class Candidate:
    """A release under test. In the shadow `shadow_share` of requests is answered by both; `paused` says why nobody may climb."""

    release_id: str
    since: dt.datetime
    shadow_share: float
    lanes: Mapping[Platform, Lane]
    paused: str | None = None


@dataclass(frozen=True)
class Channel:
    """The record. `previous` are releases that were stable before, the last one first."""

    revision: int = 0
    stable: str | None = None
    previous: tuple[str, ...] = ()
    candidate: Candidate | None = None

    def lane(self, platform: Platform) -> Lane:
        """Raises Conflict where there is no candidate."""
        return _candidate(self).lanes[platform]


EMPTY = Channel()


def draw(user_id: str, release_id: str) -> float:
    """Where a user stands in [0, 1) for a candidate: another order for every candidate, the same at every replica."""
    first = hashlib.sha256(f"{release_id}/{user_id}".encode("utf-8", "surrogatepass")).digest()[:8]
    return (int.from_bytes(first, "big") >> 11) / 2**53  # as many bits as a float holds: more would round up to 1 for some user


def arm_of(channel: Channel, platform: Platform | None, user_id: str | None) -> Arm:
    """Whose answer the user gets. Raising the weight moves nobody out of the canary; a request without user or platform is never in it."""
    if channel.candidate is None or platform is None or user_id is None:
        return "stable"
    lane = channel.candidate.lanes[platform]
    return "canary" if draw(user_id, channel.candidate.release_id) * FULL < lane.weight_percent else "stable"


def first(channel: Channel, release_id: str) -> Channel:
    """The first release of a channel is stable at once: there is nothing to compare it with. Raises Conflict where there is one."""
    if channel.stable is not None:
        raise Conflict(f"the channel has a stable release, {channel.stable[:12]}: propose {release_id[:12]} as a candidate")
    return _next(channel, stable=release_id)


def proposed(channel: Channel, release_id: str, at: dt.datetime, shadow_share: float, reason: str) -> Channel:
    """The release is the candidate, in the shadow on every platform. Raises Conflict where there is another, or nothing to compare with."""
    if channel.stable is None:
        raise Conflict("the channel has no stable release yet: the first release becomes stable without a canary")
    if release_id == channel.stable:
        raise Conflict(f"release {release_id[:12]} is stable already")
    if channel.candidate is not None:
        raise Conflict(f"release {channel.candidate.release_id[:12]} is under test: roll it back, or wait until it has ended")
    lanes = {platform: Lane(Step.SHADOW, 0, at, reason) for platform in PLATFORMS}
    return _next(channel, candidate=Candidate(release_id, at, shadow_share, MappingProxyType(lanes)))


def climbed(channel: Channel, platforms: Collection[Platform], weight_percent: int, at: dt.datetime, reason: str) -> Channel:
    """The platforms' users join up to that weight. Raises Conflict where one is held or was returned, its weight would fall, or the ladder
    is paused."""
    candidate = _candidate(channel)
    if candidate.paused is not None:
        raise Conflict(f"the ladder is paused: {candidate.paused}")
    for platform in platforms:
        lane = candidate.lanes[platform]
        if lane.step in (Step.HELD, Step.RETURNED) or not max(1, lane.weight_percent) <= weight_percent <= FULL:
            raise Conflict(f"{platform} is {lane.step} at {lane.weight_percent} %: it cannot go to {weight_percent} %")
    return _with_lanes(channel, platforms, Step.CANARY, weight_percent, at, reason)


def held_back(channel: Channel, platforms: Collection[Platform], reason: str) -> Channel:
    """The platforms stay where they are until a person decides; they are still counted since their weight began."""
    candidate = _candidate(channel)
    held = {
        name: Lane(Step.HELD, lane.weight_percent, lane.since, reason)
        for name, lane in candidate.lanes.items()
        if name in platforms and lane.step is not Step.RETURNED
    }
    return _next(channel, candidate=dataclasses.replace(candidate, lanes=MappingProxyType({**candidate.lanes, **held})))


def returned(channel: Channel, platforms: Collection[Platform], at: dt.datetime, reason: str) -> Channel:
    """The platforms' users get the stable release again. One that was returned already keeps its first reason."""
    lanes = _candidate(channel).lanes
    return _with_lanes(channel, [name for name in platforms if lanes[name].step is not Step.RETURNED], Step.RETURNED, 0, at, reason)


def withdrawn(channel: Channel) -> Channel:
    """No candidate any more: every user gets the stable release."""
    _candidate(channel)
    return _next(channel, candidate=None)


def promoted(channel: Channel) -> Channel:
    """The candidate is stable. Raises Conflict unless it has every user of every platform, none of them held, and nobody paused it."""
    candidate = _candidate(channel)
    if candidate.paused is not None:
        raise Conflict(f"the ladder is paused: {candidate.paused}")
    whole = (Step.CANARY, FULL)
    if short := [
        f"{name} {lane.step} {lane.weight_percent} %" for name, lane in candidate.lanes.items() if (lane.step, lane.weight_percent) != whole
    ]:
        raise Conflict(f"release {candidate.release_id[:12]} has not every user yet: {', '.join(short)}")
    return _stable(channel, candidate.release_id)


def declared_stable(channel: Channel) -> Channel:
    """The candidate is stable because a person says so, from whatever rung."""
    return _stable(channel, _candidate(channel).release_id)


def rolled_back(channel: Channel) -> Channel:
    """The candidate is gone, or, where there is none, the release that was stable before is stable again. Raises Conflict for neither."""
    if channel.candidate is not None:
        return withdrawn(channel)
    if not channel.previous:
        raise Conflict("there is no candidate and no earlier stable release to go back to")
    return _next(channel, stable=channel.previous[0], previous=channel.previous[1:])


def paused(channel: Channel, reason: str) -> Channel:
    """Nobody climbs until resumed(); returning users goes on."""
    return _next(channel, candidate=dataclasses.replace(_candidate(channel), paused=reason))


def resumed(channel: Channel, at: dt.datetime, reason: str) -> Channel:
    """Climbing goes on, where it was held too."""
    candidate = _candidate(channel)
    lanes = {
        name: Lane(Step.CANARY if lane.weight_percent else Step.SHADOW, lane.weight_percent, at, reason) if lane.step is Step.HELD else lane
        for name, lane in candidate.lanes.items()
    }
    return _next(channel, candidate=dataclasses.replace(candidate, paused=None, lanes=MappingProxyType(lanes)))


def _candidate(channel: Channel) -> Candidate:
    if channel.candidate is None:
        raise Conflict("no release is under test: `vitrine release status` shows what there is")
    return channel.candidate


def _with_lanes(channel: Channel, platforms: Collection[Platform], step: Step, weight: int, at: dt.datetime, reason: str) -> Channel:
    candidate = _candidate(channel)
    lanes = {**candidate.lanes, **{name: Lane(step, weight, at, reason) for name in platforms}}
    return _next(channel, candidate=dataclasses.replace(candidate, lanes=MappingProxyType(lanes)))


def _stable(channel: Channel, release_id: str) -> Channel:
    previous = (channel.stable, *channel.previous) if channel.stable else channel.previous
    return _next(channel, stable=release_id, previous=previous[:MAX_PREVIOUS], candidate=None)


def _next(channel: Channel, **changes: object) -> Channel:
    return dataclasses.replace(channel, revision=channel.revision + 1, **changes)  # type: ignore[arg-type]  # names are the fields' own
