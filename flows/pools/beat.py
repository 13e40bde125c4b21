"""Signs of life. A stage run gives them, its retraining counts the time since it last saw a new one, by its own clock alone.

Prefect tells when a flow run's process ends, as long as its worker lives; of a worker that was killed too, or whose machine went away, it
tells nothing, and its own heartbeats come every 30 s at best.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from components.errors import StoreFailed
from flows.pools.config import PoolsConfig

log = logging.getLogger("vitrine")

Standing = Literal["alive", "untaken", "unbegun", "silent"]


@contextmanager
def beating(beat: Callable[[str], None], every_s: float) -> Iterator[None]:
    """Calls `beat` with a new sign at once and then again and again, in a thread, until the block ends. A store that fails is tried again
    at the next beat."""
    over = threading.Event()

    def go_on() -> None:
        while True:
            try:
                beat(uuid.uuid4().hex)
            except StoreFailed as error:
                log.warning("no sign of life could be given, the next follows in %g s: %s", every_s, error)
            if over.wait(every_s):
                return

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Sign:
    """What was seen of a run: its state in Prefect, its last beat (None: none yet), and since when, on our clock (s), both are the same."""

    state: str
    beat: str | None
    since_s: float

    def then(self, state: str, beat: str | None, now_s: float) -> "Sign":
        """What is seen of it now. A beat that could not be read, or is gone, is not a change."""
        beat = beat or self.beat
        return self if (state, beat) == (self.state, self.beat) else Sign(state, beat, now_s)

    def renewed(self, now_s: float) -> "Sign":
        """The same, seen for the first time now: nobody could look meanwhile."""
        return Sign(self.state, self.beat, now_s)


def seen(state: str, beat: str | None) -> Sign:
    """A run that is looked at for the first time."""
    return Sign(state, beat, time.monotonic())


def standing(sign: Sign, now_s: float, cfg: PoolsConfig) -> Standing:
    """untaken: no worker has taken the run in time; unbegun: one has, and it has not begun in time; silent: it has begun, and gives no
    sign of life any more."""
    unchanged_s = now_s - sign.since_s
    if sign.state == "SCHEDULED":
        return "untaken" if unchanged_s > cfg.taken_within_s else "alive"
    if sign.state == "PAUSED":
        return "alive"
    if sign.beat is None or sign.state == "PENDING":  # the latter with a beat: Prefect executes it again, after a machine was drained
        return "unbegun" if unchanged_s > cfg.begun_within_s else "alive"
    return "silent" if unchanged_s > cfg.lost_after_s else "alive"
