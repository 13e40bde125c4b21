"""The channel record as bytes: strict JSON of one schema, so that no controller ever acts on half of a record or on one it cannot know."""

import datetime as dt
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from components.contract import Config
from components.errors import BadState
from components.release.channel import FULL, MAX_PREVIOUS, PLATFORMS, Candidate, Channel, Lane, Platform, Step

FORMAT = 1
CHANNEL = "channel.json"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
M = TypeVar("M", bound=Config)


class LaneRecord(Config):
    """One platform's part."""

    step: Step
    weight_percent: int = Field(ge=0, le=FULL)
    since: AwareDatetime
    reason: str

    @model_validator(mode="after")
    def _nobody_before_the_canary_or_after(self) -> "LaneRecord":
        if self.weight_percent and self.step in (Step.SHADOW, Step.RETURNED):
            raise ValueError(f"step {self.step} has no users, weight_percent is {self.weight_percent}")
        return self


class CandidateRecord(Config):
    """The release under test."""

    release_id: Digest
    since: AwareDatetime
    shadow_share: float = Field(ge=0, le=1, allow_inf_nan=False)
    lanes: dict[Platform, LaneRecord]
    paused: str | None

    @model_validator(mode="after")
    def _a_lane_a_platform(self) -> "CandidateRecord":
        if missing := sorted(set(PLATFORMS) - set(self.lanes)):
            raise ValueError(f"lanes: {', '.join(missing)} is missing")
        return self


class ChannelRecord(Config):
    """The whole record."""

    format: Literal[1]
    revision: int = Field(ge=0)
    stable: Digest | None
    previous: list[Digest] = Field(max_length=MAX_PREVIOUS)
    candidate: CandidateRecord | None

    @model_validator(mode="after")
    def _something_to_compare_with(self) -> "ChannelRecord":
        if self.stable is None and (self.candidate or self.previous or self.revision):
            raise ValueError("there is no stable release, though the record was changed before")
        if self.candidate and self.candidate.release_id == self.stable:
            raise ValueError("the candidate is the stable release")
        return self


def encode(channel: Channel) -> bytes:
    """The record as JSON, with times in UTC. Raises BadState where it could not be read again."""
    candidate = channel.candidate
    record = {
        "format": FORMAT,
        "revision": channel.revision,
        "stable": channel.stable,
        "previous": list(channel.previous),
        "candidate": candidate and _candidate(candidate),
    }
    data = json.dumps(record, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    if decode(data) != channel:
        raise BadState(f"the channel record of revision {channel.revision} does not come back as it was written: times need a time zone")
    return data


def _candidate(candidate: Candidate) -> dict[str, Any]:
    lanes = {
        name: {"step": lane.step, "weight_percent": lane.weight_percent, "since": _utc(lane.since), "reason": lane.reason}
        for name, lane in candidate.lanes.items()
    }
    return {
        "release_id": candidate.release_id,
        "since": _utc(candidate.since),
        "shadow_share": candidate.shadow_share,
        "lanes": lanes,
        "paused": candidate.paused,
    }


def _utc(at: dt.datetime) -> str:
    return (at.astimezone(dt.UTC) if at.tzinfo else at).isoformat()


def decode(data: bytes) -> Channel:
    """The record. Raises BadState where it is no strict JSON, is of a later version, or holds what no change makes."""
    record = parsed(ChannelRecord, data, CHANNEL)
    previous = tuple(record.previous)
    return Channel(record.revision, record.stable, previous, None if record.candidate is None else _of(record.candidate))


def _of(record: CandidateRecord) -> Candidate:
    lanes: Mapping[Platform, Lane] = {
        name: Lane(lane.step, lane.weight_percent, lane.since, lane.reason) for name, lane in record.lanes.items()
    }
    return Candidate(record.release_id, record.since, record.shadow_share, MappingProxyType(lanes), record.paused)


def parsed(kind: type[M], data: bytes, name: str) -> M:
    """The JSON object in `data` as that kind of record, of format 1. Raises BadState that names the object, the field and the rule."""
    try:
        whole = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
        json.dumps(whole, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise BadState(f"{name} is no sound JSON: {error}. Put back an earlier version of it") from None
    found = whole.get("format") if isinstance(whole, dict) else None
    if type(found) is int and found > FORMAT:
        raise BadState(f"{name} has format {found}, this version reads {FORMAT}: install the version of vitrine that wrote it")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the record'}: {one['msg']}" for one in error.errors(include_url=False))
        raise BadState(f"{name} cannot be used: {told}. Put back an earlier version of it") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object names a member twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")
