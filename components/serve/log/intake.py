"""POST /v1/events: what came, event by event."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.serve.log.config import LogConfig
from components.serve.log.event_log import NOTHING, EventLog
from components.serve.log.records import Scribe
from components.serve.log.rows import Record
from components.serve.log.users import UserHash
from components.serve.log.wire import EventsAnswer, EventsRequest, RefusedEvent, event_of, id_of
from components.serve.problems import Refused


@dataclass
class Judged:
    """The sound events, and those that are turned away."""

    taken: list[Record] = field(default_factory=list)
    refused: list[RefusedEvent] = field(default_factory=list)


@dataclass(frozen=True)
class EventIntake:
    """The way in for exposures, clicks, likes and purchases."""

    log: EventLog
    scribe: Scribe

    @classmethod
    def of(cls, log: EventLog, cfg: LogConfig, hashed: UserHash) -> "EventIntake":
        """With the bounds of `serve.log`."""
        return cls(log, Scribe(hashed, dt.timedelta(seconds=cfg.max_clock_skew_s), dt.timedelta(days=cfg.max_age_days)))

    async def take(self, request: EventsRequest, now: dt.datetime) -> EventsAnswer:
        """What became of each event, once those taken are durable. Raises Refused log_failed or overloaded; then none was taken."""
        judged = self.judge(request.events, now)
        appended = await self.log.append(judged.taken) if judged.taken else NOTHING
        return EventsAnswer(accepted=appended.accepted, repeated=appended.repeated, refused=judged.refused)

    def judge(self, events: Sequence[object], now: dt.datetime) -> Judged:
        """Each event for itself."""
        judged = Judged()
        for index, value in enumerate(events):
            try:
                judged.taken.append(self.scribe.record(event_of(value), now))
            except Refused as refused:
                judged.refused.append(RefusedEvent(index=index, event_id=id_of(value), code=refused.code, detail=refused.detail))
        return judged
