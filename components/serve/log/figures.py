"""How the event log does, for whoever watches."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LogState:
    """For /metrics. The backlog is what is not yet in the store, oldest_s its age; the others count since the start, set_aside over all."""

    backlog_rows: int
    backlog_bytes: int
    oldest_s: float
    accepted: int
    repeated: int
    conflicts: int
    refused: int
    predictions_kept: int
    predictions_dropped: int
    answers_kept: int
    answers_dropped: int
    flushed_rows: int
    flushed_files: int
    flush_failures: int
    flush_error: str | None
    set_aside: int
    remembered: int
