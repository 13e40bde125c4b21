"""The answers log: a row of schema.ANSWERS for each answer while a candidate is under test, for the canary's judge."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.errors import BadPicture
from components.release.channel import Candidate, Channel
from components.serve.access.caller import Caller
from components.serve.items import Hit
from components.serve.log.event_log import EventLog
from components.serve.log.rows import ANSWERS, Record
from components.serve.problems import Refused

SHADOW = "shadow"
GONE, TOO_SLOW = 499, 504  # a caller who went away before the answer; one who was told that it took too long


@dataclass(frozen=True, slots=True)
class Trial:
    """What stood in the record when a request came, and who asked."""

    record: Channel
    candidate: Candidate
    caller: Caller

    @property
    def weight_percent(self) -> int:
        """Of the platform's users in the canary; 0 for a caller who names no platform."""
        return self.candidate.lanes[self.caller.platform].weight_percent if self.caller.platform else 0


@dataclass(frozen=True)
class AnswerLog:
    """Hands rows to the event log. `hashed` names a user as in the events, `timeout_s` is what an answer may take."""

    log: EventLog
    hashed: Callable[[str], str]
    timeout_s: float

    def add(
        self,
        trial: Trial,
        arm: str,
        release_id: str,
        status: int,
        seconds: float,
        hits: Sequence[Hit] = (),
        **compared: float | None,
    ) -> None:
        """A row; where the log has no room it is dropped and counted. `compared` holds the columns of a shadow alone."""
        caller = trial.caller
        row: dict[str, object] = {
            "ts": dt.datetime.now(dt.UTC),
            "request_id": caller.request_id,
            "route": "similar",
            "revision": trial.record.revision,
            "candidate_id": trial.candidate.release_id,
            "arm": arm,
            "release_id": release_id,
            "platform": caller.platform,
            "user_id": None if caller.user_id is None else self.hashed(caller.user_id),
            "weight_percent": trial.weight_percent,
            "status": status,
            "latency_ms": seconds * 1000,
            "num_hits": len(hits),
            "num_sellers": num_sellers(hits),
            "hit_scores": np.array([hit.image_score for hit in hits], np.float16),
        }
        self.log.offer(Record(None, ANSWERS, [row | compared]))

    def status_of(self, error: BaseException, seconds: float) -> int:
        """The HTTP status that the error means. A request is cut off where it takes too long, or where its caller goes away."""
        if isinstance(error, Refused):
            return error.kind.status
        if isinstance(error, asyncio.CancelledError):
            return TOO_SLOW if seconds > 0.95 * self.timeout_s else GONE
        return 422 if isinstance(error, BadPicture) else 500


def num_sellers(hits: Sequence[Hit]) -> int:
    """Distinct sellers; an item without one counts as a seller of its own."""
    sellers = [hit.item.seller_id for hit in hits]
    return len(set(sellers) - {None}) + sellers.count(None)


def compared(stable: Sequence[Hit], candidate: Sequence[Hit]) -> dict[str, float | None]:
    """`overlap`: the share of the stable release's items that the candidate gave too. `score_shift`: the mean Image Score of its items
    minus that of the stable release's. None where a side is empty and there is nothing to divide by."""
    ours, theirs = {hit.item.item_id for hit in candidate}, {hit.item.item_id for hit in stable}
    shift = _mean_score(candidate) - _mean_score(stable) if stable and candidate else None
    return {"overlap": len(ours & theirs) / len(theirs) if theirs else None, "score_shift": shift}


def _mean_score(hits: Sequence[Hit]) -> float:
    return sum(hit.image_score for hit in hits) / len(hits)
