"""Who is answered by which release, and what is written down of it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.background import BackgroundTask

from components.release.channel import Arm, arm_of
from components.serve.access.caller import Caller
from components.serve.canary import shadow
from components.serve.canary.admission import Admission
from components.serve.canary.answers import AnswerLog, Trial
from components.serve.canary.following import Following
from components.serve.canary.shadow import Search, Shadows
from components.serve.items import Hit
from components.serve.meters import Meters
from components.serve.problems import Refused
from components.serve.router import Router
from components.serve.served import Served
from components.serve.wire import Asked

T = TypeVar("T")

log = logging.getLogger("vitrine")


@dataclass(frozen=True, slots=True)
class Turn:
    """By whom a request is answered: encoder, index and calibrator of one release. `trial` is None where the request is no part of a
    canary: nothing is under test, the candidate does not stand here, or the request names a release or a fingerprint itself."""

    served: Served
    stable: Served
    arm: Arm = "stable"
    trial: Trial | None = None


def _nothing(status: int, found: object) -> None:
    """No note is taken."""


@dataclass(frozen=True)
class Arms:
    """The stable release, and beside it the candidate for the users who are in its canary."""

    router: Router
    following: Following
    admission: Admission
    answers: AnswerLog
    shadows: Shadows
    meters: Meters

    def stable(self) -> Served:
        """The release that the record calls stable; where that does not stand here, the one whose generation is active. Raises Refused
        not_ready."""
        release_id = self.following.record.stable
        return self.router.of(release_id if self.admission.answers(release_id) else None)

    def turn(self, caller: Caller, asked: Asked) -> Turn:
        """Whose turn it is. A user is in the canary of a candidate or not, whatever is asked. Raises Refused as Router.of()."""
        if asked.release:
            named = self.router.of(asked.release, asked.fingerprint)
            return Turn(named, named)
        stable, record = self.stable(), self.following.record
        if asked.fingerprint or record.candidate is None:
            return Turn(self.router.of(stable.release_id, asked.fingerprint), stable)
        arm, candidate = arm_of(record, caller.platform, caller.user_id), record.candidate
        if not self.admission.answers(candidate.release_id):
            if arm == "canary":
                self._turn_away()
            return Turn(stable, stable)
        served = self.router.of(candidate.release_id) if arm == "canary" else stable
        return Turn(served, stable, arm, Trial(record, candidate, caller))

    def _turn_away(self) -> None:
        """The stable release is to answer a user of the canary; not while the gateway starts, since the candidate may come back at once.
        Raises Refused not_ready."""
        if self.following.waits:
            raise Refused("not_ready", self.following.waits, retry_after_s=1)
        self.meters.turned_away.inc()

    async def ask(
        self, turn: Turn, began: float, act: Callable[[Served], Awaitable[T]], note: Callable[[int, T | None], None] = _nothing
    ) -> tuple[Served, T]:
        """What came of it and whose it is: the stable release's where the candidate fails, so that no user gets the error. `note` is told
        the HTTP status of whoever's turn it was, and what it found."""
        try:
            with turn.served.lease() as served:
                found = await act(served)
        except BaseException as error:
            status = self.answers.status_of(error, time.perf_counter() - began)
            note(status, None)
            if turn.arm == "stable" or status < 500 or isinstance(error, asyncio.CancelledError):
                raise
            self.meters.fallbacks.inc()
            log.warning("serve: the candidate failed a request, the stable release answers it", exc_info=not isinstance(error, Refused))
        else:
            note(200, found)
            return served, found
        with turn.stable.lease() as served:
            return served, await act(served)

    def note(self, turn: Turn, began: float, status: int, hits: Sequence[Hit]) -> None:
        """Writes the answer down, where a candidate is under test."""
        if turn.trial is not None:
            self.answers.add(turn.trial, turn.arm, turn.served.release_id, status, time.perf_counter() - began, hits)

    def afterwards(self, turn: Turn, hits: Sequence[Hit], search: Search) -> BackgroundTask | None:
        """What is to be done once the answer has gone: the candidate's shadow, where the request is of its share."""
        trial = turn.trial
        if trial is None or turn.arm != "stable" or not shadow.is_due(trial):
            return None

        async def begin() -> None:
            if self.admission.answers(trial.candidate.release_id):
                self.shadows.begin(trial, self.router.of(trial.candidate.release_id), hits, search)

        return BackgroundTask(begin)
