"""What people said of causes: `drift/snoozes.json` in the store, changed by compare-and-swap alone.

A snooze silences a cause until a time, for a reason. An acceptance says that a shift is normal from a window on: its windows count as
quiet, and levels are learnt anew from there.
"""

import datetime as dt
import difflib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from components.contract import Config
from components.errors import BadParams, BadState, Conflict
from components.objects import ObjectStore
from monitoring.judged import Cause, CauseName

KEY = "drift/snoozes.json"
MAX_BYTES = 1 << 20
MAX_SWAPS = 30
MAX_KEPT = 200  # of snoozes that are over


class Snooze(Config):
    """`cause` is a cause's key, as darker_photos/app_version=7.2.3, or its name alone, for any segment."""

    cause: str
    until: AwareDatetime
    reason: str = Field(min_length=1)
    who: str = Field(min_length=1)
    said_at: AwareDatetime

    def silences(self, cause: Cause, now: dt.datetime) -> bool:
        """Whether nobody is to be called for that cause now."""
        return now < self.until and self.cause in (cause.key, cause.name.value)


class Acceptance(Config):
    """A shift that is normal since the window that began at `since`. `cause` is named as in a snooze."""

    cause: str
    since: AwareDatetime
    reason: str = Field(min_length=1)
    who: str = Field(min_length=1)
    said_at: AwareDatetime

    def covers(self, key: str, start: dt.datetime) -> bool:
        """Whether that cause is normal in a window that begins then."""
        return start >= self.since and self.cause in (key, key.partition("/")[0])


class Said(Config):
    """All that was said, the oldest first."""

    format: Literal[1] = 1
    snoozes: tuple[Snooze, ...] = ()
    accepted: tuple[Acceptance, ...] = ()

    def silencing(self, cause: Cause, now: dt.datetime) -> Snooze | None:
        """The snooze of the cause that ends last; None where none holds."""
        return max((one for one in self.snoozes if one.silences(cause, now)), key=lambda one: one.until, default=None)

    def accepts(self, keys: Sequence[str], start: dt.datetime) -> bool:
        """Whether every one of the causes is normal in a window that begins then."""
        return bool(keys) and all(any(one.covers(key, start) for one in self.accepted) for key in keys)


NOTHING_SAID = Said()


@dataclass(frozen=True)
class SnoozeBook:
    """What was said, in its store. Methods raise StoreFailed where it cannot be reached, BadState where what is there is damaged."""

    store: ObjectStore

    def read(self) -> Said:
        """All that was said so far."""
        return self._read()[0]

    def snooze(self, cause: str, until: dt.datetime, reason: str, who: str, now: dt.datetime, max_days: int) -> Snooze:
        """Silences the cause, instead of what was said of it before. Raises BadParams where no cause is called so, the end is past or
        more than `max_days` off, or no reason is given."""
        if until <= now:
            raise BadParams(f"a snooze that ends at {until:%Y-%m-%d %H:%M} UTC is over already; it is {now:%Y-%m-%d %H:%M}")
        if until > now + dt.timedelta(days=max_days):
            raise BadParams(f"a snooze may last {max_days} days (monitor.verdict.max_snooze_days), this one ends on {until:%Y-%m-%d}")
        made = Snooze(cause=_known(cause), until=until, reason=_given(reason, "reason"), who=_given(who, "name"), said_at=now)
        self._change(lambda said: said.model_copy(update={"snoozes": (*_others(said.snoozes, cause), made)[-MAX_KEPT:]}))
        return made

    def wake(self, cause: str) -> bool:
        """Whether the cause was snoozed; it is no more."""
        was = any(one.cause == cause for one in self.read().snoozes)
        self._change(lambda said: said.model_copy(update={"snoozes": _others(said.snoozes, cause)}))
        return was

    def accept(self, cause: str, since: dt.datetime, reason: str, who: str, now: dt.datetime) -> Acceptance:
        """Has windows count as quiet although they show the cause, from the one that began at `since` on."""
        if since > now:
            raise BadParams(f"nothing that begins at {since:%Y-%m-%d %H:%M} UTC was seen yet: accept a shift from a window that was judged")
        made = Acceptance(cause=_known(cause), since=since, reason=_given(reason, "reason"), who=_given(who, "name"), said_at=now)
        self._change(lambda said: said.model_copy(update={"accepted": (*said.accepted, made)}))
        return made

    def _read(self) -> tuple[Said, str | None]:
        found = self.store.read(KEY, MAX_BYTES)
        if found is None:
            return NOTHING_SAID, None
        try:
            return Said.model_validate_json(found.data), found.version
        except ValidationError as error:
            raise BadState(f"{KEY} is damaged ({error.error_count()} errors): put back an earlier version of it, or remove it") from None

    def _change(self, act: Callable[[Said], Said]) -> None:
        for number in range(MAX_SWAPS):
            said, version = self._read()
            try:
                self.store.swap(KEY, act(said).model_dump_json(indent=1).encode() + b"\n", version)
            except Conflict:
                time.sleep(random.uniform(0, min(1.0, 0.02 * 2**number)))
                continue
            return
        raise Conflict(f"others changed {KEY} each of {MAX_SWAPS} times: try again")


def _known(cause: str) -> str:
    name, names = cause.partition("/")[0], [one.value for one in CauseName]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        raise BadParams(f"no cause is called {name!r}; {hint}")
    return cause


def _given(text: str, what: str) -> str:
    if not text.strip():
        raise BadParams(f"a {what} must be given: whoever is woken next reads it")
    return text.strip()


def _others(snoozes: tuple[Snooze, ...], cause: str) -> tuple[Snooze, ...]:
    return tuple(one for one in snoozes if one.cause != cause)
