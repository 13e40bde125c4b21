"""Simulated days, one at a time and in any order: rows as a window has them, vectors, extras, and the truth."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.extras import Extras
from monitoring.rehearsal.answers import Asking, Pages, pages_of
from monitoring.rehearsal.config import QuietConfig
from monitoring.rehearsal.faults import Fault
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.quiet import HOURS, Drawn, drawn
from monitoring.rehearsal.rows import rows_of
from monitoring.rehearsal.year import Year, new_year
from monitoring.window import ALL, DIMENSIONS, Window

_FAULT = 6


@dataclass(frozen=True)
class Day:
    """R rows (monitoring.window.COLUMNS) in order of time with vectors, float32 (R, D) of unit length. `drawn` is where they come from and
    which of them are faulty; `pages` is what was shown and clicked."""

    number: int
    date: dt.date
    fingerprint: str
    rows: pa.Table
    vectors: np.ndarray
    drawn: Drawn
    pages: Pages
    extras: Extras

    def window(self, part: int = 0, num_parts: int = 1) -> Window:
        """Every row of that part of the day: the whole day, or one of `num_parts` equal stretches of it."""
        midnight = dt.datetime.combine(self.date, dt.time(), dt.UTC)
        edges = [midnight + dt.timedelta(hours=HOURS * place / num_parts) for place in (part, part + 1)]
        first, end = np.searchsorted(self.drawn.ts_us, [round(edge.timestamp() * 1e6) for edge in edges]).tolist()
        rows = self.rows.slice(first, end - first)
        weight = np.ones(end - first, np.float32)
        return Window(edges[0], edges[1], self.fingerprint, rows, self.vectors[first:end], weight, num_rows(rows))


def num_rows(rows: pa.Table) -> dict[str, int]:
    """Rows by segment: `all`, and dimension=value in order of the dimensions and of the values' names."""
    counts = {ALL: rows.num_rows}
    for dimension in DIMENSIONS:
        found = pc.value_counts(rows[dimension].drop_null()).to_pylist()
        counts |= {f"{dimension}={one['values']}": one["counts"] for one in sorted(found, key=lambda one: str(one["values"]))}
    return counts


@dataclass(frozen=True)
class Stream:
    """A simulated shop over a pool. Same pool, seed and config: same days, byte for byte. The fault is there from the first second of day
    `since` on; before, and in every row that it does not touch, the stream is the one without it."""

    pool: Pool
    seed: int
    cfg: QuietConfig
    fault: Fault | None = None
    since: int = 0

    @cached_property
    def year(self) -> Year:
        """The shop's habits."""
        return new_year(self.pool, self.seed, self.cfg)

    def day(self, number: int) -> Day:
        """Day `number`, from 0."""
        fault = self.fault if self.fault and number >= self.since else None
        plain = drawn(self.pool, self.year, number, self.cfg)
        rng = np.random.default_rng([self.seed, _FAULT, number])
        found = fault.spoil(plain, rng) if fault else plain
        calibrator, date = fault.calibrator if fault else None, self.year.date(number)
        rows = rows_of(self.pool, found, self.year.num_listings(number), f"r{self.seed}-{date:%Y%m%d}", calibrator)
        pages = pages_of(self.pool, found, self.seed, number, self.cfg)
        stale_since = self.since if fault and fault.stale else None
        extras = self._asking.extras(found, rows, pages, number, calibrator, stale_since)
        return Day(number, date, self.pool.fingerprint, rows, self.pool.vectors[found.card], found, pages, extras)

    @cached_property
    def _asking(self) -> Asking:
        return Asking(self.pool, self.year, self.cfg)
