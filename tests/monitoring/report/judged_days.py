"""Judgements of simulated days by a rule of thumb, for tests of what is shown: the true verdicts are monitoring/verdict.py's."""

import dataclasses
from dataclasses import dataclass
from functools import cache

import numpy as np

from components.contract import bind, read_params
from monitoring.config import MonitorConfig
from monitoring.detectors.measure import Baseline, compare
from monitoring.judged import Blame, Calibration, Cause, CauseName, Finding, Judgement, Verdict
from monitoring.measured import Measured
from monitoring.rehearsal.faults import fault_of
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.stream import Day, Stream
from monitoring.report.config import ReportConfig
from monitoring.report.story import PastWindow
from monitoring.span import day_of
from monitoring.window import Window
from tests.conftest import PROJECT
from tests.monitoring.tiny_pool import faults, quiet, tiny_pool

THRESHOLD, NUM_PARTS, NUM_QUIET = 4.0, 6, 12
SEED = 5


@cache
def config() -> MonitorConfig:
    """The section of params.yaml."""
    return bind(MonitorConfig, "monitor", read_params(PROJECT / "params.yaml"))


def report_config(**changes) -> ReportConfig:
    """The page's section of params.yaml with some knobs changed."""
    return config().report.model_copy(update=changes)


@dataclass(frozen=True)
class Judged:
    """A day, what was said of it, and what it is compared with."""

    judgement: Judgement
    day: Day
    reference: Window
    yesterday: Window


class Shop:
    """A simulated shop with a few quiet days behind it. Its reference is what it showed on the day before the first."""

    def __init__(self, pool: Pool, seed: int = SEED, rows: int = 900) -> None:
        self.pool, self.seed = pool, seed
        self.quiet = quiet(rows_a_day=rows, pages_a_day=60, num_asked=60)
        first = self.stream().day(0)
        self.reference, self.extras = first.window(), first.extras
        self.baseline = Baseline.of(self.reference, config().detectors, seed)
        self.past = [self.found(self.stream().day(number)) for number in range(1, 1 + NUM_QUIET)]

    def stream(self, fault: str | None = None) -> Stream:
        """Quiet days, or days with the fault."""
        return Stream(self.pool, self.seed, self.quiet, fault_of(fault, self.pool, self.seed, faults()) if fault else None)

    def found(self, day: Day, part: int | None = None) -> dict[tuple[str, str], Measured]:
        """What the detectors find in a day or in a part of it, by detector and segment."""
        window = day.window() if part is None else day.window(part, NUM_PARTS)
        return {(one.detector, one.segment): one for one in compare(self.baseline, window, self.extras, day.extras).found}

    def judged(self, fault: str | None = None, number: int = 20) -> Judged:
        """The day, with the truth for its cause where it has a fault."""
        stream = self.stream(fault)
        day, truth = stream.day(number), stream.fault
        found, parts = self.found(day), [self.found(day, part) for part in range(NUM_PARTS)]
        findings = sorted((self._finding(key, one, parts) for key, one in found.items()), key=lambda one: -one.surprise)
        proof = tuple(one for one in findings if one.alarming)[:40]
        causes: tuple[Cause, ...] = ()
        if truth is not None:
            blamed = [Blame(truth.segment, 0.83), Blame("platform=ios", 0.31), Blame("category=Home", 0.12)] if truth.segment else []
            causes = (Cause(CauseName(truth.cause), proof or tuple(findings[:3]), tuple(blamed)),)
        judgement = Judgement(
            span=day_of(day.date),
            release_id=self.pool.release_id,
            fingerprint=self.pool.fingerprint,
            verdict=Verdict.DRIFT if truth else Verdict.QUIET,
            reason=f"Since midnight, {truth.about}." if truth else "Nothing is unusual for a day like this.",
            num_rows=day.rows.num_rows,
            causes=causes,
            findings=tuple(findings),
            calibration=Calibration(91, len(found), THRESHOLD, 0.4, 1.2),
            once_in_days=12_400.0 if truth else 2.6,
        )
        return Judged(judgement, day, self.reference, self.stream().day(number - 1).window())

    def _finding(self, key: tuple[str, str], one: Measured, parts: list[dict[tuple[str, str], Measured]]) -> Finding:
        before = np.array([past[key].value for past in self.past if key in past])
        expected = float(before.mean()) if len(before) else one.value
        spread = float(before.std()) + 1e-3 if len(before) > 1 else 1.0
        surprises = [_surprise(part[key].value, expected, 2.5 * spread) if key in part else 0.0 for part in parts]
        surprise = _surprise(one.value, expected, 1.5 * spread)
        return Finding(one, expected, spread, surprise, tuple(surprises), surprise > THRESHOLD and sum(s > 1 for s in surprises) > 2)


def _surprise(value: float, expected: float, spread: float) -> float:
    """About the decimal logarithm of how rare a normal deviate is."""
    return round(min(abs(value - expected) / spread, 20.0) ** 2 / 4.6, 2)


@cache
def tiny_shop() -> Shop:
    """A shop over a pool without pictures."""
    return Shop(tiny_pool())


def past_days(count: int = 90, drift_at: tuple[int, ...] = (61,)) -> list[PastWindow]:
    """A history that begins with calibration and has some days of every verdict."""
    rng = np.random.default_rng(3)
    days = []
    for number in range(count):
        name = str(np.datetime64("2025-10-23") + number)
        surprise = float(rng.gamma(4, 0.35))
        verdict = Verdict.QUIET if surprise < 2.8 else Verdict.WATCH
        if number in drift_at:
            verdict, surprise = Verdict.DRIFT, 8.5
        elif number < 14:
            verdict = Verdict.CALIBRATING
        elif number in (40, 41):
            verdict = Verdict.TOO_LITTLE if number == 40 else Verdict.BROKEN
        unjudged = verdict in (Verdict.TOO_LITTLE, Verdict.BROKEN)
        days.append(PastWindow(name, verdict, None if unjudged else surprise, None if number < 14 else THRESHOLD))
    return days


def unjudged(judged: Judged, verdict: Verdict, reason: str, problems: tuple[str, ...] = ()) -> Judgement:
    """The same day, not judged."""
    early = Calibration(9, 700, THRESHOLD, 0.0, 9.0)
    changed = {"verdict": verdict, "reason": reason, "problems": problems, "calibration": early}
    return dataclasses.replace(judged.judgement, causes=(), once_in_days=None, **changed)
