"""Which windows a check judges: the one that is asked for, and before it the days that were missed, in order."""

import datetime as dt
import re
from typing import Annotated

from pydantic import Field

from components.contract import Config
from components.errors import BadParams
from monitoring.span import DAY, Kind, Span, day_of, hour_of, week_of

WEEK = re.compile(r"\d{4}-W\d{2}")


class CheckConfig(Config):
    """`cron` is when a served check runs, in UTC. `catch_up_days` missed days are made good before yesterday; older ones stay unjudged.
    `workspace`: kinds of windows that Evidently renders too."""

    cron: str
    workspace: list[Annotated[Kind, Field(strict=False)]]
    catch_up_days: int = Field(ge=0)


def asked_for(now: dt.datetime, date: str | None = None, week: str | None = None, hour: str | None = None) -> Span | None:
    """The window that somebody named; None where nobody did. Raises BadParams where two are named, one is none, or it is not over yet."""
    named = {"--date": date, "--week": week, "--hour": hour}
    given = {option: text for option, text in named.items() if text is not None}
    if not given:
        return None
    if len(given) > 1:
        raise BadParams(f"{' and '.join(given)}: name one window")
    ((option, text),) = given.items()
    span = _span(option, text)
    if span.end > now:
        raise BadParams(f"{option} {text} is not over yet: a window is judged as a whole, this one from {span.end:%Y-%m-%d %H:%M} UTC on")
    return span


def _span(option: str, text: str) -> Span:
    examples = {"--date": "2026-03-04", "--week": "2026-W10 or a day in it", "--hour": "2026-03-04T08"}
    try:
        if option == "--hour":
            moment = dt.datetime.fromisoformat(text)
            return hour_of(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))
        if option == "--week":
            return week_of(dt.date.fromisoformat(f"{text}-1" if WEEK.fullmatch(text) else text))
        return day_of(dt.date.fromisoformat(text))
    except ValueError:
        raise BadParams(f"{option} {text} is no such time: write {examples[option]}") from None


def due(now: dt.datetime, last: dt.datetime | None, since: str | None, cfg: CheckConfig) -> list[Span]:
    """Days to judge, the oldest first, yesterday last. `last` is the end of the last day that was judged; None where none was. With `since`
    every day from then on, judged before or not. Raises BadParams where `since` is no past day."""
    today = day_of(now.astimezone(dt.UTC).date()).start
    if since is not None:
        first = _span("--date", since).start
        if first >= today:
            raise BadParams(f"--since {since}: a day before today")
    else:
        oldest = today - (1 + cfg.catch_up_days) * DAY
        first = max(oldest, min(last, today - DAY)) if last else today - DAY
    return [day_of((first + number * DAY).date()) for number in range((today - first) // DAY)]


def left_out(now: dt.datetime, last: dt.datetime | None, cfg: CheckConfig) -> int:
    """How many days nobody will judge, since they were missed longer ago than `catch_up_days`."""
    oldest = day_of(now.astimezone(dt.UTC).date()).start - (1 + cfg.catch_up_days) * DAY
    return max(0, (oldest - last) // DAY) if last else 0
