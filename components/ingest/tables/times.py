"""Times of a shop's own tables in UTC, whatever unit and zone they were written in."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.tables.values import MisfitError, is_text, strings
from components.schema import UTC_TIME

FIRST_S, LAST_S = -62_135_596_800, 253_402_300_799  # the years 1 to 9999: what Python can say
A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NS_FIRST_S, NS_LAST_S = -(2**63 // 10**9), 2**63 // 10**9


@dataclass(frozen=True)
class Clock:
    """`zone` is that of times that name none, `unit` that of times that are whole numbers since 1970; None where there are none."""

    zone: str
    unit: str | None

    def moments(self, column: pa.Array) -> pa.Array:
        """UTC_TIME. Times out of reach become the nearest that can be said, which either way are at fault; text that is no time is null."""
        kind = column.type
        if pa.types.is_null(kind):
            return pa.nulls(len(column), UTC_TIME)
        if is_text(kind):
            return pa.array([one if isinstance(one, dt.datetime) else None for one in self.told(column)], UTC_TIME)
        if pa.types.is_date(kind):
            kind = pa.timestamp("s" if pa.types.is_date32(kind) else "ms")  # midnight
            column = column.cast(kind)
        if pa.types.is_integer(kind):
            if self.unit is None:
                raise MisfitError("a time, or a number of which ingest.tables.time_unit says the unit: s, ms, us or ns")
            return _in_us(_clamped(column.cast(pa.int64()), self.unit), self.unit).cast(UTC_TIME)
        if not pa.types.is_timestamp(kind):
            raise MisfitError("a time")
        found = _in_us(_clamped(column.cast(pa.int64()), kind.unit), kind.unit)
        return _reachable(found.cast(UTC_TIME) if kind.tz else self._placed(found))

    def _placed(self, wall_us: pa.Array) -> pa.Array:
        """Times of the zone's wall clock. An hour that came twice is the first of the two; one that was left out is its end."""
        walls = wall_us.cast(pa.timestamp("us"))
        return pc.assume_timezone(walls, self.zone, ambiguous="earliest", nonexistent="latest").cast(UTC_TIME)

    def told(self, column: pa.Array) -> list[dt.datetime | str | None]:
        """moments() for Python, with text that is no time as it came."""
        if not is_text(column.type):
            return list(self.moments(column).to_pylist())
        return [one if one is None else self._read(one) for one in strings(column)]

    def _read(self, text: str) -> dt.datetime | str:
        try:
            time = dt.datetime.fromisoformat(text.strip())
            return (time.replace(tzinfo=ZoneInfo(self.zone)) if time.tzinfo is None else time).astimezone(dt.UTC)
        except (ValueError, OverflowError):
            return text


def _clamped(since_1970: pa.Array, unit: str) -> pa.Array:
    first, last = (FIRST_S, LAST_S) if unit != "ns" else (NS_FIRST_S + 1, NS_LAST_S - 1)
    low, high = first * A_SECOND[unit], last * A_SECOND[unit]
    return pc.min_element_wise(pc.max_element_wise(since_1970, low, skip_nulls=False), high, skip_nulls=False)


def _in_us(since_1970: pa.Array, unit: str) -> pa.Array:
    return pc.divide(since_1970, 1000) if unit == "ns" else pc.multiply(since_1970, A_SECOND["us"] // A_SECOND[unit])


def _reachable(times: pa.Array) -> pa.Array:
    return _clamped(times.cast(pa.int64()), "us").cast(UTC_TIME)
