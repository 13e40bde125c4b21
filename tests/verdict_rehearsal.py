"""Simulated years for the verdict's bench: measured once, kept in a cache, and judged day by day on nothing but what came before.

A year is a seed. Years and faults that the method was built on have seeds below 100; those that it is held to, 1000 and above.
"""

import dataclasses
import pickle
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from components.contract import bind, path_of, read_params
from monitoring.config import MonitorConfig
from monitoring.detectors.measure import compare
from monitoring.extras import Extras
from monitoring.judged import Judgement, Verdict
from monitoring.judging.past import Past, Values
from monitoring.reference import Reference, reference_of
from monitoring.rehearsal.faults import Fault, fault_of
from monitoring.rehearsal.making import pool_of
from monitoring.rehearsal.pool import Pool, load
from monitoring.rehearsal.stream import Day, Stream
from monitoring.span import day_of
from monitoring.verdict import FIRST, Before, Seen, judge

YEAR_DAYS, CALIBRATION_DAYS = 365, 90
NUM_PARTS = 6
SEED = 0
_BEGIN = 99


@dataclass(frozen=True)
class Shop:
    """A workspace's release with its reference, and the pool of its photos."""

    cfg: MonitorConfig
    pool: Pool
    reference: Reference
    cache: Path

    @classmethod
    def of(cls, params_file: Path, workspace: Path, pool_at: Path | None, cache: Path) -> "Shop":
        """The shop of that workspace. `pool_at` is a pool made before."""
        params = read_params(params_file)
        params["paths"] = {name: str(workspace / path) for name, path in params["paths"].items()}
        cfg = bind(MonitorConfig, "monitor", params)
        pool = load(pool_at) if pool_at else pool_of(params, cfg.rehearsal.pool, cache / "pool")
        return cls(cfg, pool, reference_of(path_of("bundle", params), cfg, SEED), cache)

    def seen(self, day: Day) -> Seen:
        """The day, measured whole and in parts."""
        baseline, extras = self.reference.baseline, day.extras
        whole = compare(baseline, day.window(), self.reference.beside(extras), extras)
        parts = [compare(baseline, day.window(part, NUM_PARTS), Extras(), Extras()) for part in range(NUM_PARTS)]
        return Seen.of(day_of(day.date), self.reference.release_id, day.window(), whole, parts)

    def kept(self, name: str, days: Iterator[Day]) -> list[Seen]:
        """What was measured of the days, from the cache where it is there."""
        path = self.cache / f"{name}.pickle"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(zlib.compress(pickle.dumps([self.seen(day) for day in days]), 1))
            partial.rename(path)
        found: list[Seen] = pickle.loads(zlib.decompress(path.read_bytes()))  # our own file
        return found

    def year(self, seed: int) -> "JudgedYear":
        """A quiet year, judged from the end of its third month on."""
        stream, seen = Stream(self.pool, seed, self.cfg.rehearsal.quiet), []
        for first in range(0, YEAR_DAYS, 30):
            days = range(first, min(first + 30, YEAR_DAYS))
            seen += self.kept(f"year-{seed}/{first:03d}", (stream.day(day) for day in days))
        return JudgedYear(self.cfg, tuple(seen))

    def faulty(self, name: str, seed: int, years: list[int]) -> tuple[Fault, int, int, Seen]:
        """The first day of a fault: which, the year it is in, its day, and what was measured of it. The seed chooses all of these."""
        fault = fault_of(name, self.pool, seed, self.cfg.rehearsal.faults)
        year, begin = years[seed % len(years)], begin_of(seed)
        stream = Stream(self.pool, year, self.cfg.rehearsal.quiet, fault, begin)
        (seen,) = self.kept(f"faults-{year}/{name}-{seed}", (stream.day(day) for day in (begin,)))
        return fault, year, begin, seen


def begin_of(seed: int) -> int:
    """The day of months 4 to 12 on which the fault of that seed begins."""
    return int(np.random.default_rng([seed, _BEGIN]).integers(CALIBRATION_DAYS, YEAR_DAYS))


@dataclass(frozen=True)
class JudgedYear:
    """A quiet year as it was measured, and what is said of each of its days from months 4 to 12."""

    cfg: MonitorConfig
    days: tuple[Seen, ...]

    @cached_property
    def judgements(self) -> dict[int, Judgement]:
        """By day, each judged on the days before it, of which those that paged are left out."""
        said: dict[int, Judgement] = {}
        before = Before()
        for day in range(CALIBRATION_DAYS, len(self.days)):
            judgement = self.judged(self.days[day], day, said, before)
            said[day] = dataclasses.replace(judgement, findings=judgement.findings[:1])
            before = Before({cause.name: cause.since for cause in said[day].causes if cause.since})
        return said

    def judged(self, seen: Seen, day: int, said: dict[int, Judgement], before: Before = FIRST) -> Judgement:
        """What is said of a day in that place of the year."""
        return judge(seen, self.past(day, said), self.cfg.verdict, self.cfg.budget.max_false_pages_per_quarter, before=before)

    def past(self, day: int, said: dict[int, Judgement]) -> Past:
        """The last days before that one, as many as the verdict looks at."""
        first = max(0, day - self.cfg.verdict.day.num_past)
        quiet = [number not in said or said[number].verdict is not Verdict.DRIFT for number in range(first, day)]
        return Past.of([self._values[number] for number in range(first, day)], quiet, self.days[0].values.release_id)

    @cached_property
    def _values(self) -> list[Values]:
        return [seen.values for seen in self.days]
