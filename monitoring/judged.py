"""What is said of a window: the verdict, what moved, where, and the likely cause."""

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum

from monitoring.measured import Measured
from monitoring.span import Span


class Verdict(StrEnum):
    """Only DRIFT and BROKEN call a person. WATCH is unusual, but too small, too short or too rarely seen to wake anybody for."""

    QUIET = "quiet"
    WATCH = "watch"
    DRIFT = "drift"
    CALIBRATING = "calibrating"
    TOO_LITTLE = "too little data"
    BROKEN = "broken input"


class CauseName(StrEnum):
    """What alarms are grouped by. Each heads a section of docs/runbook.md: its name with spaces, as `Darker photos`."""

    DARKER_PHOTOS = "darker_photos"
    RESIZE_BUG = "resize_bug"
    INPUT_SHIFT = "input_shift"
    CATEGORY_MIX = "category_mix"
    CLIENT_MIX = "client_mix"
    TITLE_LANGUAGE = "title_language"
    MISSING_FIELDS = "missing_fields"
    SELLER_FLOOD = "seller_flood"
    NEW_KIND = "new_kind"
    AI_PHOTOS = "ai_photos"
    EMBEDDING_SHIFT = "embedding_shift"
    CALIBRATOR = "calibrator"
    SCORE_SHIFT = "score_shift"
    CLICK_GAP = "click_gap"
    STALE_INDEX = "stale_index"
    MODEL_CHANGED = "model_changed"
    BROKEN_INPUT = "broken_input"

    @property
    def words(self) -> str:
        """As people say it: darker photos, AI photos."""
        return self.value.replace("_", " ").replace("ai ", "AI ")


@dataclass(frozen=True)
class Finding:
    """A series, which is a detector in a segment, against its own history.

    `expected` is what a quiet window of this time and weekday shows, `spread` its usual deviation, both in the detector's unit. `surprise`
    is the deviation on one scale for all series: at t, a quiet shop gets as far in any of them once in 10^t windows. `part_surprises` are
    those of the window's parts, in order. `alarming`: far enough, large enough to matter, and lasting.
    """

    measured: Measured
    expected: float
    spread: float
    surprise: float
    part_surprises: tuple[float, ...]
    alarming: bool


@dataclass(frozen=True)
class Blame:
    """A segment, and the share of the shift that it explains, 0 to 1: of the sum of squares over all rows, what is left out with it."""

    segment: str
    explained: float


@dataclass(frozen=True)
class Cause:
    """Alarms of one cause, the most surprising finding first. `segments` are ranked, first what explains most; empty where rows are not to
    blame. A snoozed cause is shown and calls nobody. `since`: when the first of the windows in a row that named the cause began; None
    where that was not looked up."""

    name: CauseName
    findings: tuple[Finding, ...]
    segments: tuple[Blame, ...]
    snoozed_until: dt.datetime | None = None
    snooze_reason: str = ""
    since: dt.datetime | None = None

    @property
    def key(self) -> str:
        """What is the same as long as the cause is: its name and first segment, as darker_photos/app_version=3.1.0."""
        return f"{self.name}/{self.segments[0].segment}" if self.segments else str(self.name)


@dataclass(frozen=True)
class Calibration:
    """On what the verdict rests: quiet days behind it, series judged, the surprise at which somebody is called, and how many false pages a
    quarter that gives by the shop's own history, with the upper 95 % limit. `num_beyond`: on how many of those quiet days some series lay
    beyond the threshold, before its size and how long it lasted were looked at."""

    num_days: int
    num_series: int
    threshold: float
    false_pages_per_quarter: float
    false_pages_upper: float
    num_beyond: int = 0


@dataclass(frozen=True)
class Judgement:
    """What is said of a span. `reason` is one sentence for a person who was woken. `findings` are all series, most surprising first.
    `once_in_days`: how rarely a quiet shop looks like this, None where that is not known yet."""

    span: Span
    release_id: str
    fingerprint: str
    verdict: Verdict
    reason: str
    num_rows: int
    causes: tuple[Cause, ...] = ()
    findings: tuple[Finding, ...] = ()
    calibration: Calibration | None = None
    once_in_days: float | None = None
    problems: tuple[str, ...] = field(default=())

    @property
    def pages(self) -> bool:
        """Whether somebody is called."""
        if self.verdict is Verdict.DRIFT:
            return any(cause.snoozed_until is None for cause in self.causes)
        return self.verdict is Verdict.BROKEN and all(cause.snoozed_until is None for cause in self.causes)

    @property
    def new_causes(self) -> tuple[Cause, ...]:
        """Causes that call somebody for the first time: a cause that goes on is the same page."""
        return tuple(one for one in self.causes if self.pages and one.snoozed_until is None and one.since in (None, self.span.start))
