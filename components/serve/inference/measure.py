"""Threads of a run and rows of a batch with which most pictures a second come through: tried out on start, then remembered."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger("vitrine")

NEAR = 0.95  # of the best: within noise of it
LEAST_S = 0.15  # of work, for one timing

Work = Callable[[int], object]
Open = Callable[[int], Work]


@dataclass(frozen=True, order=True)
class Setting:
    """Threads of one run, rows of one batch, and how many runs go on at once: threads x at_once fill the cores."""

    threads: int
    rows: int
    at_once: int

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.rows} rows, {self.at_once} at once"


@dataclass(frozen=True)
class Timing:
    """What a setting was measured to do."""

    setting: Setting
    pictures_per_s: float


def settings(cores: int, max_rows: int) -> list[Setting]:
    """What is worth trying: threads in powers of two and all cores, the most first; rows in powers of two, the fewest first."""
    threads = sorted({cores, *_powers_of_two(cores)}, reverse=True)
    return [Setting(count, rows, cores // count) for count in threads for rows in _powers_of_two(max_rows)]


def _powers_of_two(most: int) -> list[int]:
    return [2**n for n in range(most.bit_length())]


def best(timings: Sequence[Timing]) -> Setting:
    """The setting with the most pictures a second; of those within noise of it, the one that answers a single picture soonest."""
    enough = NEAR * max(timing.pictures_per_s for timing in timings)
    near = [timing.setting for timing in timings if timing.pictures_per_s >= enough]
    return min(near, key=lambda setting: (-setting.threads, setting.rows))


def measured(
    open_work: Open,
    choices: Sequence[Setting],
    *,
    budget_s: float,
    room: Callable[[], int],
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Timings of as many settings as the time allows, one at least. `open_work(threads)` gives what runs a batch of so many rows.

    A setting whose rows would not fit into `room()`, in bytes, is left out: the first run of each shows what a row takes.
    """
    timings: list[Timing] = []
    ends, row_s, row_bytes, opened = clock() + budget_s, 0.0, 0, 0
    for setting in choices:
        num_rows = setting.rows * setting.at_once
        late = clock() + 2 * num_rows * row_s > ends
        if timings and (late or num_rows * row_bytes > room()):
            continue
        if setting.threads != opened:
            work, opened = open_work(setting.threads), setting.threads
        before = room()
        row_s = _timed(work, setting, min(LEAST_S, budget_s), clock) / num_rows
        row_bytes = max(row_bytes, (before - room()) // num_rows)
        timings.append(Timing(setting, 1 / row_s))
    return timings


def _timed(work: Work, setting: Setting, least_s: float, clock: Callable[[], float]) -> float:
    """Seconds of one round of batches, after a round that is not counted."""
    with ThreadPoolExecutor(setting.at_once) as pool:
        rounds = _rounds(pool, work, setting)
        next(rounds)
        started, count = clock(), 0
        while not count or clock() - started < least_s:
            next(rounds)
            count += 1
        return max((clock() - started) / count, 1e-9)


def _rounds(pool: ThreadPoolExecutor, work: Work, setting: Setting) -> Iterator[None]:
    while True:
        list(pool.map(work, [setting.rows] * setting.at_once))
        yield


def remembered(folder: Path, about: Sequence[object], measure: Callable[[], list[Timing]]) -> list[Timing]:
    """The timings kept in `folder` for what `about` names; measured and kept where there are none, or they cannot be read."""
    path = folder / f"{hashlib.sha256(json.dumps([str(a) for a in about]).encode()).hexdigest()[:32]}.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        found = [Timing(Setting(**row["setting"]), float(row["pictures_per_s"])) for row in rows]
        if found:
            return found
    except (OSError, ValueError, TypeError, KeyError):
        pass  # nothing is lost but the time to measure again
    found = measure()
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps([asdict(timing) for timing in found]), encoding="utf-8")
    partial.replace(path)
    return found


def table(timings: Sequence[Timing]) -> str:
    """One line: pictures a second by threads and rows."""
    by_threads: dict[int, list[str]] = {}
    for timing in timings:
        by_threads.setdefault(timing.setting.threads, []).append(f"{timing.setting.rows}: {timing.pictures_per_s:.1f}")
    return "; ".join(f"{threads} threads, rows {', '.join(cells)}" for threads, cells in by_threads.items())
