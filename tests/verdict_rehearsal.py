"""Simulated years for the verdict's bench: measured once, kept in a cache, and judged day by day on nothing but what came before.

A year is a seed. Years and faults that the method was built on have seeds below 100; those that it is held to, 1000 and above.
"""

import dataclasses
import hashlib
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from components.contract import bind, path_of, read_params
from monitoring.config import MonitorConfig
from monitoring.detectors.measure import compare
from monitoring.extras import Extras
from monitoring.judged import Judgement, Verdict
from monitoring.judging.past import Key, Past, Values
from monitoring.reference import Reference, reference_of
from monitoring.rehearsal.faults import Fault, fault_of
from monitoring.rehearsal.making import pool_of
from monitoring.rehearsal.pool import Pool, load
from monitoring.rehearsal.stream import Day, Stream
from monitoring.span import day_of
from monitoring.verdict import FIRST, Before, Seen, judge

YEAR_DAYS, CALIBRATION_DAYS = 365, 90
MONTH_DAYS, NUM_PARTS = 30, 6
SEED = 0
_BEGIN = 99

T = TypeVar("T")


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

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returns, from the cache where it is there."""
        path = self.cache / f"{name}.pickle"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(zlib.compress(pickle.dumps(make()), 1))
            partial.rename(path)
        found: T = pickle.loads(zlib.decompress(path.read_bytes()))  # our own file
        return found

    def year(self, seed: int) -> "JudgedYear":
        """A quiet year, measured."""
        return JudgedYear(self, seed)

    def month(self, seed: int, first: int) -> list[Seen]:
        """Thirty days of a quiet year, measured; the last of a year are fewer."""
        stream, days = Stream(self.pool, seed, self.cfg.rehearsal.quiet), range(first, min(first + MONTH_DAYS, YEAR_DAYS))
        return self.kept(f"year-{seed}/{first:03d}", lambda: [self.seen(stream.day(day)) for day in days])

    def faulty(self, name: str, seed: int, years: list[int]) -> tuple[Fault, int, int, Seen]:
        """The first day of a fault: which, the year it is in, its day, and what was measured of it. The seed chooses all of these."""
        fault = fault_of(name, self.pool, seed, self.cfg.rehearsal.faults)
        year, begin = years[seed % len(years)], begin_of(seed)
        stream = Stream(self.pool, year, self.cfg.rehearsal.quiet, fault, begin)
        (seen,) = self.kept(f"faults-{year}/{name}-{seed}", lambda: [self.seen(stream.day(begin))])
        return fault, year, begin, seen

    @cached_property
    def version(self) -> str:
        """What is the same as long as the code and the knobs that judge are."""
        folder = Path(__file__).parents[1] / "monitoring"
        code = [path.read_bytes() for path in [folder / "verdict.py", *sorted((folder / "judging").glob("*.py"))]]
        knobs = self.cfg.verdict.model_dump_json() + self.cfg.budget.model_dump_json()
        return hashlib.sha256(b"\0".join([*code, knobs.encode()])).hexdigest()[:12]


def begin_of(seed: int) -> int:
    """The day of months 4 to 12 on which the fault of that seed begins."""
    return int(np.random.default_rng([seed, _BEGIN]).integers(CALIBRATION_DAYS, YEAR_DAYS))


@dataclass(frozen=True)
class JudgedYear:
    """A quiet year as it was measured, and what is said of each of its days from months 4 to 12."""

    shop: Shop
    seed: int

    @cached_property
    def judgements(self) -> dict[int, Judgement]:
        """By day, each with its most surprising finding only."""
        return self.shop.kept(f"year-{self.seed}/said-{self.shop.version}", self._judged)

    def judged(self, seen: Seen, day: int) -> Judgement:
        """What is said of another day in that place of the year."""
        return self._said(seen, day, self.judgements, FIRST)

    def _judged(self) -> dict[int, Judgement]:
        """Each judged on the days before it, of which those that paged are left out."""
        said: dict[int, Judgement] = {}
        before = FIRST
        for first in range(0, YEAR_DAYS, MONTH_DAYS):
            for day, seen in enumerate(self.shop.month(self.seed, first), first):
                if day >= CALIBRATION_DAYS:
                    judgement = self._said(seen, day, said, before)
                    said[day] = dataclasses.replace(judgement, findings=judgement.findings[:1])
                    before = Before({cause.name: cause.since for cause in judgement.causes if cause.since})
        return said

    def _said(self, seen: Seen, day: int, said: dict[int, Judgement], before: Before) -> Judgement:
        cfg = self.shop.cfg
        first = max(0, day - cfg.verdict.day.num_past)
        quiet = [number not in said or said[number].verdict is not Verdict.DRIFT for number in range(first, day)]
        past = Past.of(self._values[first:day], quiet, seen.values.release_id)
        return judge(seen, past, cfg.verdict, cfg.budget.max_false_pages_per_quarter, before=before)

    @cached_property
    def _values(self) -> list[Values]:
        """Of every day; equal names are kept once."""
        found, names = [], dict[tuple[Key, ...], tuple[Key, ...]]()
        for first in range(0, YEAR_DAYS, MONTH_DAYS):
            found += [seen.values for seen in self.shop.month(self.seed, first)]
        return [dataclasses.replace(values, keys=names.setdefault(values.keys, values.keys)) for values in found]
