"""`vitrine simulate`: the simulated shop's days, written to a source of events one after the other."""

import datetime as dt
import logging

from components.contract import bind, read_params
from components.errors import BadParams
from components.ingest.days import MarketDays
from components.ingest.files import event_file
from components.ingest.logbook import Logbook
from components.ingest.market import MarketConfig
from components.objects import ObjectStore, open_store

LAST_WRITTEN = "clicks"  # of a day's files, so a day with clicks is whole
DAY = dt.timedelta(days=1)

log = logging.getLogger("vitrine")


def write_days(path: str, start: str | None, num_days: int) -> list[dt.date]:
    """The days written to `path`: `num_days` from `start` on, else from the day after the last one there, else from market.as_of.

    Each file appears whole or not at all. Raises BadParams for a start that would leave a gap or lies before the day of opening, which
    is the first that was written.
    """
    market, store = bind(MarketConfig, "market", read_params()), open_store(path)
    opened, following = _there(store)
    first = _day(start) if start else following or market.now.date()
    if opened and following and not opened <= first <= following:
        raise BadParams(f"{path} holds {opened} to {following - DAY}: --from must lie between {opened} and {following}, not {first}")
    days = [first + n * DAY for n in range(num_days)]
    _write(market, store, opened or first, days)
    return days


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadParams(f"--from {text!r} is no day: write 2026-01-31") from None


def _there(store: ObjectStore) -> tuple[dt.date | None, dt.date | None]:
    """The day of opening and the day after the last whole one; None where nothing was written yet."""
    files = [file for one in store.stored() if (file := event_file(one.key))]
    opened = min((file.day for file in files), default=None)
    last = max((file.day for file in files if file.table == LAST_WRITTEN), default=None)
    return opened, last + DAY if last else opened


def _write(market: MarketConfig, store: ObjectStore, opened: dt.date, days: list[dt.date]) -> None:
    num_days = (days[-1] - opened).days + 1
    logbook = Logbook(MarketDays(market, opened, num_days))
    for number in range(num_days):
        day, sizes = opened + number * DAY, []
        for name, data in logbook.day(number, to_keep=day >= days[0]):
            store.put(name, data)
            sizes.append(len(data))
        if sizes:
            log.info("%s: %d files, %.1f MB (day %d of %d)", day, len(sizes), sum(sizes) / 1e6, days.index(day) + 1, len(days))
