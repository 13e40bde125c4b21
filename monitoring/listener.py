"""How a case is told to whoever runs retrainings: under an event id of its own, until it is known to have arrived."""

import time
from typing import Protocol

from components.errors import StoreFailed
from monitoring.action import waiting
from monitoring.cases import Case, CaseBook

POLL_S = 0.5


class Listener(Protocol):
    """Whoever runs retrainings. Methods raise StoreFailed where it does not answer."""

    def deaf(self) -> str:
        """Why an event would start nothing; empty where one would."""

    def has(self, case: Case) -> bool:
        """Whether the case's event has arrived."""

    def emit(self, case: Case) -> None:
        """Sends the case's event. That this returns says nothing yet."""


def tell_waiting(book: CaseBook, listener: Listener, timeout_s: float) -> list[str]:
    """A line for each case that was claimed and is now told, or cannot be. One that arrived already, from a check that was killed before it
    could confirm, is not told again. Raises StoreFailed where an event does not arrive in time."""
    claimed = waiting(book.read()[0])
    if not claimed:
        return []
    if why := listener.deaf():
        return [f"{case.cause}: the retraining waits, {why}" for case in claimed]
    return [_told(case, book, listener, timeout_s) for case in claimed]


def _told(case: Case, book: CaseBook, listener: Listener, timeout_s: float) -> str:
    if not listener.has(case):
        listener.emit(case)
        deadline = time.monotonic() + timeout_s
        while not listener.has(case):
            if time.monotonic() > deadline:
                raise StoreFailed(f"the event {case.event_id} did not arrive within {timeout_s:g} s; the next check tells it again")
            time.sleep(POLL_S)
    book.told(case.event_id)
    return f"{case.cause}: the retraining was asked for, event {case.event_id}"
