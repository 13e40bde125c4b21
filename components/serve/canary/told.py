"""What /v1/channel answers with, as pydantic models for the description of the API; see components/serve/told.py."""

import datetime as dt
from typing import Any, Literal

from pydantic import Field

from components.release.channel import Channel
from components.serve.told import Told, Unit
from components.serve.wire import Digest


class LaneTold(Told):
    """One platform's part: `weight_percent` of its users get the candidate."""

    step: Literal["shadow", "canary", "held", "returned"]
    weight_percent: int = Field(ge=0, le=100)
    since: dt.datetime
    reason: str


class CandidateTold(Told):
    """The release under test; `paused` says why nobody may climb."""

    release_id: Digest
    since: dt.datetime
    shadow_share: float = Unit
    paused: str | None
    lanes: dict[Literal["web", "ios", "android"], LaneTold]


class HereTold(Told):
    """What of the record holds at this gateway: the releases that answer, and why others that it names do not."""

    stable: Digest | None
    candidate: Digest | None
    why_not: dict[Digest, str]


class UnwrittenTold(Told):
    """A rollback that holds here, and that the registry does not know yet."""

    release_id: Digest
    reason: str
    at: dt.datetime


class LoggedTold(Told):
    """Rows of the answers log since the start: those kept, and those that there was no room for."""

    logged: int
    dropped: int


class ChannelAnswer(Told):
    """The channel record as the gateway goes by it, read `age_s` ago; `problem` says why the last look did not read it."""

    revision: int
    stable: Digest | None
    previous: list[Digest]
    candidate: CandidateTold | None
    age_s: float
    problem: str | None
    here: HereTold
    rollbacks_unwritten: list[UnwrittenTold]
    answers: LoggedTold


class RolledBackAnswer(Told):
    """The release that was sent back, and the one that answers now. Where the record is not `written` yet, `problem` says why."""

    release_id: Digest
    stable: Digest
    revision: int
    written: bool
    problem: str | None


def candidate_told(record: Channel) -> dict[str, Any] | None:
    """The candidate as the answer shows it."""
    candidate = record.candidate
    if candidate is None:
        return None
    lanes = {name: vars(lane) for name, lane in candidate.lanes.items()}
    return {**{name: getattr(candidate, name) for name in ("release_id", "since", "shadow_share", "paused")}, "lanes": lanes}
