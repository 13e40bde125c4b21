"""What the page of a day is given to compare with."""

import datetime as dt

from components.objects import FolderStore
from flows.drift_check import judged, look
from flows.drift_evidence import evidence_of
from flows.drift_watch import Watch
from monitoring.rehearsal.writing import write_days
from monitoring.span import DAY, day_of
from tests.monitoring.windows.shop import START, release, stream
from tests.monitoring.windows.tiny_bundle import monitor


def test_a_day_is_shown_beside_its_weekday_where_the_log_holds_it_and_beside_the_day_before(tmp_path):
    store = FolderStore(tmp_path)
    write_days(store, stream(), (0, 7))
    watch = Watch.of(monitor(), store, release()[1], None)
    shown = {number: _beside(watch, START.date() + number * DAY) for number in (0, 7)}
    assert shown[0] == ("reference", "the day before"), "a day without rows is nothing to compare with"
    assert shown[7] == ("reference", "a week before", "the day before")


def _beside(watch: Watch, date: dt.date) -> tuple[str, ...]:
    found, seen = look(watch, day_of(date))
    return evidence_of(watch, judged(watch, seen), found, None).changes.beside
