"""Which drifts have led to a retraining run: drift/actions.json in the store, changed by compare-and-swap alone.

A case is claimed, then told to Prefect, then confirmed, and its run takes it before it begins. Whatever is killed in between, the case is
told again under the same event id, and the first run that takes it is the only one.
"""

import datetime as dt
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from components.contract import Config
from components.errors import BadState, Conflict
from components.objects import ObjectStore
from monitoring.judged import CauseName

KEY = "drift/actions.json"
MAX_BYTES = 4 << 20
MAX_KEPT = 100  # of closed cases
MAX_SWAPS = 30


class Step(StrEnum):
    """How far a case has come. Claimed: ours to tell. Told: Prefect has the event. Running: a run has taken it. Closed: over."""

    CLAIMED = "claimed"
    TOLD = "told"
    RUNNING = "running"
    CLOSED = "closed"


class Case(Config):
    """A cause that a retraining was opened for. `window` is the first that paged, `evidence` what the event carries. `num_quiet` windows in
    a row were without the cause since. `why` says how it was closed."""

    event_id: str
    cause: CauseName
    key: str
    window: str
    opened_at: AwareDatetime
    window_end: AwareDatetime
    release_id: str
    evidence: dict[str, Any]
    step: Step = Step.CLAIMED
    run_id: str | None = None
    num_quiet: int = Field(default=0, ge=0)
    why: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it still stands for its cause."""
        return self.step is not Step.CLOSED


class Cases(Config):
    """All cases, the oldest first. `followed_to` is the end of the last window that was followed: each counts once."""

    format: Literal[1] = 1
    followed_to: AwareDatetime | None = None
    cases: tuple[Case, ...] = ()

    @property
    def open(self) -> tuple[Case, ...]:
        """Those that are not closed."""
        return tuple(case for case in self.cases if case.is_open)

    def of_event(self, event_id: str) -> Case | None:
        """The case that the event was for."""
        return next((case for case in self.cases if case.event_id == event_id), None)

    def with_case(self, changed: Case) -> "Cases":
        """The same with that case in place of the one of its event."""
        return self.with_cases(tuple(changed if case.event_id == changed.event_id else case for case in self.cases))

    def with_cases(self, cases: tuple[Case, ...]) -> "Cases":
        """The same with other cases; of those that are closed, the last hundred."""
        closed = [case.event_id for case in cases if not case.is_open]
        forgotten = set(closed[: max(0, len(closed) - MAX_KEPT)])
        return self.model_copy(update={"cases": tuple(case for case in cases if case.event_id not in forgotten)})


@dataclass(frozen=True)
class CaseBook:
    """The cases in their store. Methods raise StoreFailed where it cannot be reached, BadState where what is there is damaged."""

    store: ObjectStore

    def read(self) -> tuple[Cases, str | None]:
        """The cases and the version of their object; none and None before the first."""
        found = self.store.read(KEY, MAX_BYTES)
        if found is None:
            return Cases(), None
        try:
            return Cases.model_validate_json(found.data), found.version
        except ValidationError as error:
            raise BadState(f"{KEY} is damaged ({error.error_count()} errors): put back an earlier version of it, or remove it") from None

    def change(self, act: Callable[[Cases], Cases]) -> Cases:
        """The cases after `act`, applied again where another process was first. An `act` that returns what it was given writes nothing.
        Raises Conflict where others were first every time."""
        for number in range(MAX_SWAPS):
            before, version = self.read()
            after = act(before)
            if after == before:
                return before
            try:
                self.store.swap(KEY, after.model_dump_json(indent=1).encode() + b"\n", version)
            except Conflict:
                time.sleep(random.uniform(0, min(1.0, 0.02 * 2**number)))
                continue
            return after
        raise Conflict(f"others changed {KEY} each of {MAX_SWAPS} times: see which checks run at once, then try again")

    def told(self, event_id: str) -> Cases:
        """The cases, after Prefect was found to hold the event."""
        return self.change(lambda cases: _moved(cases, event_id, Step.CLAIMED, step=Step.TOLD))

    def taken(self, event_id: str, run_id: str) -> Case | None:
        """The case, where this run is the one that retrains for it: the first that asked, however often it asks. Else None."""
        cases = self.change(lambda cases: _taken(cases, event_id, run_id))
        case = cases.of_event(event_id)
        return case if case and case.run_id == run_id and case.is_open else None


def _moved(cases: Cases, event_id: str, here: Step, **changes: Any) -> Cases:
    case = cases.of_event(event_id)
    return cases.with_case(case.model_copy(update=changes)) if case and case.step is here else cases


def _taken(cases: Cases, event_id: str, run_id: str) -> Cases:
    case = cases.of_event(event_id)
    if case is None or not case.is_open or case.run_id is not None:
        return cases
    return cases.with_case(case.model_copy(update={"step": Step.RUNNING, "run_id": run_id}))


def new_moment() -> dt.datetime:
    """Now, in UTC, to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
