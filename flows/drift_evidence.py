"""What the page of a window shows beside the verdict: gathered from the store."""

import datetime as dt

from flows.drift_watch import SEED, Watch
from monitoring.changes import changes_of
from monitoring.judged import Judgement
from monitoring.pictures import StoredPhotos
from monitoring.reading import Read, read_window
from monitoring.report.page import pages_in
from monitoring.report.sheets import sheets_of
from monitoring.report.story import Evidence, PastWindow
from monitoring.span import DAY, Kind, Span, day_of
from monitoring.window import Health, Window


def evidence_of(watch: Watch, judgement: Judgement, found: Read, yesterday: Window | None) -> Evidence:
    """Photos, what changed, and the windows before. `yesterday` is the window of the day before, where it was read already."""
    cfg, span, reference = watch.cfg.report, judgement.span, watch.reference.window
    photos = StoredPhotos(watch.store, span.end.date(), cfg.pictures, watch.images)
    beside = {"reference": reference}
    if span.kind is Kind.DAY:
        beside |= _days_before(watch, span, yesterday)
    return Evidence(
        now=found.window,
        reference=reference,
        past=_past(watch, span, cfg.num_windows),
        changes=changes_of(found.window, beside, found.about.releases, refused(found)),
        sheets=sheets_of(judgement, found.window, reference, photos, cfg.pictures.a_sheet),
        pages=pages_in(cfg),
    )


def _days_before(watch: Watch, span: Span, yesterday: Window | None) -> dict[str, Window]:
    """The same weekday a week before, where enough of it is there, and last the day before, since which sellers grew."""
    weekday = _day(watch, span.start - 7 * DAY)
    same = {"a week before": weekday} if weekday.health is Health.SOUND else {}
    return same | {"the day before": yesterday or _day(watch, span.start - DAY)}


def _day(watch: Watch, start: dt.datetime) -> Window:
    return read_window(watch.store, day_of(start.date()), watch.reference, watch.cfg.windows, SEED).window


def _past(watch: Watch, span: Span, num: int) -> list[PastWindow]:
    found = watch.history.summaries(span.kind, num, until=span.start)
    return [PastWindow(one.span.name, one.verdict, one.surprise, one.threshold) for one in found]


def refused(found: Read) -> dict[str, int]:
    """What was refused on the way in, by what it is."""
    about = found.about
    return {
        "files that cannot be read": len(about.set_aside),
        "rows that came more than once": about.num_repeated,
        "rows with a time that their file cannot know": about.num_misplaced,
        "rows with another model's vectors": about.num_mixed,
        "rows of pages and clicks at fault": about.num_refused,
        **about.faults,
    }
