"""Progress of long work as plain log lines, which read the same in a terminal, under DVC and in Prefect."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger("vitrine")

T = TypeVar("T")


def track(items: Iterable[T], total: int, what: str, every_s: float = 5.0) -> Iterator[T]:
    """The items, with a line `what 120/400 (30 %), about 14 s left` at most every `every_s` seconds."""
    started = shown = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - shown >= every_s:
            shown = now
            left_s = (now - started) / done * (total - done)
            log.info("%s %d/%d (%d %%), about %.0f s left", what, done, total, 100 * done // max(total, 1), left_s)
        yield item
