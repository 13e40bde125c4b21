"""`vitrine drift rehearse`: a simulated year over the workspace's own photos, of which a quiet day and a faulty day are judged.

Its days go the way of real ones: written into a store as the gateway would, read from there, measured, judged, kept and drawn. Store and
history are the rehearsal's own, and nobody is told anything.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from components.contract import bind, path_of, read_params
from components.errors import BadParams
from components.objects import FolderStore
from components.process import die_with_parent
from flows import drift_told
from flows.drift_check import Checked, check, look, remember
from flows.drift_watch import SEED, Watch
from flows.screen import Screen
from monitoring.config import MonitorConfig
from monitoring.judged import Judgement, Verdict
from monitoring.reference import reference_of
from monitoring.rehearsal.config import RehearseConfig
from monitoring.rehearsal.faults import FAULTS, fault_of
from monitoring.rehearsal.making import pool_of
from monitoring.rehearsal.stream import Stream
from monitoring.rehearsal.writing import write_days
from monitoring.span import Span, day_of
from monitoring.verdict import Seen

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Year:
    """A simulated year that is being watched. Days are numbers from 0."""

    watch: Watch
    stream: Stream

    def span(self, number: int) -> Span:
        """Day `number`."""
        return day_of(self.stream.year.date(number))

    def write(self, days: Sequence[int]) -> None:
        """Puts the days into the store."""
        write_days(self.watch.store, self.stream, days)


def rehearse(fault: str, seed: int | None = None) -> list[Checked]:
    """The quiet day and the faulty one, after both verdicts are on the terminal and both pages in reports/drift/. Raises BadParams for an
    unknown fault, BadWorkspace or BadBundle where the workspace has run no line."""
    if fault not in FAULTS:
        raise BadParams(f"no fault is called {fault!r}; there are: {', '.join(FAULTS)}")
    params = read_params()
    cfg = bind(MonitorConfig, "monitor", params).rehearse
    seed, folder = cfg.seed if seed is None else seed, Path(cfg.folder)
    with Screen() as screen, _quietly():
        screen.say("photos of the workspace are embedded as they are and as each fault leaves them (once; then they are kept)")
        year = _year(params, seed, folder)
        wrong = fault_of(fault, year.stream.pool, seed, year.watch.cfg.rehearsal.faults)
        screen.say(f"{cfg.num_days} quiet days are logged, read and measured, to learn what is usual")
        _calibrate(year, params, seed, cfg)
        screen.say("a quiet day, and a faulty one: " + wrong.about)
        quiet, faulty = cfg.num_days, cfg.num_days + 1
        year.write([quiet - 1, quiet])
        first = check(year.watch, year.span(quiet))
        spoilt = replace(year, stream=replace(year.stream, fault=wrong, since=faulty))
        spoilt.write([faulty])
        second = check(year.watch, year.span(faulty), yesterday=first.window)
        lines = [drift_told.line(first), drift_told.line(second)]
    drift_told.show(lines, screen.console)
    return [first, second]


def _year(params: dict[str, Any], seed: int, folder: Path) -> Year:
    """The year, before its first day."""
    shutil.rmtree(folder / "store", ignore_errors=True)
    return _opened(params, seed, folder)


def _opened(params: dict[str, Any], seed: int, folder: Path, *, photos: bool = True) -> Year:
    cfg = rehearsed(bind(MonitorConfig, "monitor", params))
    pool = pool_of(params, cfg.rehearsal.pool, folder / "pool")
    pool = pool if photos else replace(pool, pictures_at=None)
    reference = reference_of(path_of("bundle", params), cfg, SEED)
    watch = Watch.of(cfg, FolderStore(folder / "store"), reference, path_of("images", params))
    return Year(watch, Stream(pool, seed, cfg.rehearsal.quiet))


def rehearsed(cfg: MonitorConfig) -> MonitorConfig:
    """The config with a smaller pool, a year long ago, and nobody to tell."""
    show = cfg.rehearse
    quiet = cfg.rehearsal.quiet.model_copy(update={"start": show.start})
    rehearsal = cfg.rehearsal.model_copy(update={"quiet": quiet, "pool": show.pool})
    routes = cfg.routes.model_copy(update={"textfile": None, "pushgateway": None})
    check = cfg.check.model_copy(update={"workspace": []})
    return cfg.model_copy(update={"rehearsal": rehearsal, "routes": routes, "check": check})


def _calibrate(year: Year, params: dict[str, Any], seed: int, cfg: RehearseConfig) -> None:
    """The first days, measured in several processes and kept in order."""
    days = list(range(cfg.num_days))
    size = -(-len(days) // cfg.workers)
    stretches = [days[first : first + size] for first in range(0, len(days), size)]
    with ProcessPoolExecutor(cfg.workers, get_context("spawn"), initializer=_begun) as workers:
        for seen in _in_order(workers.map(partial(_measured, params, seed, Path(cfg.folder)), stretches)):
            remember(year.watch, seen, _known_to_be_quiet(seen))


def _known_to_be_quiet(seen: Seen) -> Judgement:
    """What is said of a day that nothing was done to, and that is not judged."""
    return Judgement(
        seen.span,
        seen.values.release_id,
        seen.fingerprint,
        Verdict.CALIBRATING,
        "a quiet day of the rehearsal, to calibrate on",
        seen.num_rows,
    )


def _begun() -> None:
    die_with_parent()
    log.setLevel(logging.WARNING)


@contextmanager
def _quietly() -> Iterator[None]:
    """Every window's own lines are left out: ninety days would bury the two."""
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def _in_order(stretches: Iterator[list[Seen]]) -> Iterator[Seen]:
    for stretch in stretches:
        yield from stretch


def _measured(params: dict[str, Any], seed: int, folder: Path, days: Sequence[int]) -> list[Seen]:
    """The days, written into the store and read from there. Photos are not, which no detector looks at."""
    year = _opened(params, seed, folder, photos=False)
    year.write(days)
    return [look(year.watch, year.span(number))[1] for number in days]
