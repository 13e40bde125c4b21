"""Stretches of time that are judged: an hour, a part of a day, a day, a week; all in UTC."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

DAY = dt.timedelta(days=1)


class Kind(StrEnum):
    """How long a span is. Each kind has a history of its own."""

    HOUR = "hour"
    PART = "part"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True)
class Span:
    """`start` <= ts < `end`, timezone-aware, in UTC."""

    kind: Kind
    start: dt.datetime
    end: dt.datetime

    @property
    def name(self) -> str:
        """How files and people call it: 2026-03-04T08, 2026-03-04, 2026-W10; a part of a day by the hours it spans, 2026-03-04T08-12."""
        if self.kind is Kind.WEEK:
            return f"{self.start:%G-W%V}"
        if self.kind is Kind.PART:
            return f"{self.start:%Y-%m-%dT%H}-{(self.end - self.start) // dt.timedelta(hours=1) + self.start.hour:02d}"
        return f"{self.start:%Y-%m-%d}" if self.kind is Kind.DAY else f"{self.start:%Y-%m-%dT%H}"

    def parts(self, num: int) -> tuple["Span", ...]:
        """The span cut into `num` parts of equal length, first to last."""
        step = (self.end - self.start) / num
        return tuple(Span(Kind.PART, self.start + i * step, self.start + (i + 1) * step) for i in range(num))


def day_of(date: dt.date) -> Span:
    """From midnight to midnight."""
    start = dt.datetime.combine(date, dt.time(), dt.UTC)
    return Span(Kind.DAY, start, start + DAY)


def week_of(date: dt.date) -> Span:
    """The ISO week that holds the date, Monday to Sunday."""
    start = day_of(date - dt.timedelta(days=date.weekday())).start
    return Span(Kind.WEEK, start, start + 7 * DAY)


def hour_of(at: dt.datetime) -> Span:
    """The full hour that holds the moment."""
    start = at.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    return Span(Kind.HOUR, start, start + dt.timedelta(hours=1))
