"""Which rows go into the next batch, when it starts, and when nothing more is taken in. Pure; times are seconds of one clock."""

from collections.abc import Iterable
from dataclasses import dataclass

UNKNOWN_RETRY_S = 1.0
RETRY_S = (0.1, 60.0)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one batch: rows and pixels. Of the queue: rows and pixels. `max_wait_s` is how long a row waits for company after a busy time."""

    max_rows: int
    max_pixels: int
    max_wait_s: float
    max_queued_rows: int
    max_queued_pixels: int


def admits(queued_rows: int, queued_pixels: int, rows: int, pixels: int, limits: Limits) -> bool:
    """True where a request of so many rows and pixels still fits into the queue. One that never could is taken where nobody waits."""
    fits = queued_rows + rows <= limits.max_queued_rows and queued_pixels + pixels <= limits.max_queued_pixels
    return fits or not queued_rows


def num_in_batch(waiting: Iterable[int], limits: Limits) -> int:
    """How many rows from the front of the queue make the next batch. `waiting` is the pixels of each row, oldest first.

    As many as rows and pixels allow, and one at least: a row that is too large for any batch goes alone.
    """
    count, pixels = 0, 0
    for row in waiting:
        if count and (count == limits.max_rows or pixels + row > limits.max_pixels):
            break
        count, pixels = count + 1, pixels + row
    return count


def is_full(waiting: Iterable[int], limits: Limits) -> bool:
    """True where waiting longer could add nothing to the next batch."""
    rows = list(waiting)
    count = num_in_batch(rows, limits)
    return count == limits.max_rows or count < len(rows) or sum(rows) >= limits.max_pixels


def start_at(oldest_since: float, idle_since: float, full: bool, limits: Limits) -> float:
    """When the next batch is due, for a model that is free. Times past mean now.

    A row that found the model idle does not wait. One that came while it was busy waits for company, no longer than max_wait_s.
    """
    if full or idle_since <= oldest_since:
        return oldest_since
    return oldest_since + limits.max_wait_s


def retry_after_s(queued_rows: int, row_s: float | None) -> float:
    """Seconds until the queue should be worked off, from the measured time of a row; a second where none was measured yet."""
    least, most = RETRY_S
    return min(max(queued_rows * row_s, least), most) if row_s else UNKNOWN_RETRY_S
