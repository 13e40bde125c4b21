"""`python -m tests.bench_event_log`: durable appends of events by 64 callers at once, against the same log with a commit for each of them.

A bare file that is synced for each, which knows no ids and no bounds, says what the disk can do. All run in turn, three rounds, on the
same disk; how late the event loop is meanwhile is told too. Prints Markdown for docs/benchmarks.md.
"""

import argparse
import asyncio
import datetime as dt
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from components.contract import bind, read_params
from components.objects import FolderStore
from components.serve.log.config import LogConfig
from components.serve.log.event_log import EventLog
from components.serve.log.journal import Journal
from components.serve.log.rows import Record, encode

NUM_CALLERS = 64
NOW = dt.datetime.now(dt.UTC)
Append = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Side:
    """Appends a second, and milliseconds that one takes (median, 99th of 100) and that the event loop was late (99th of 100)."""

    per_s: float
    median_ms: float
    p99_ms: float
    loop_p99_ms: float


def rows(event_id: str, num_rows: int) -> list[Record]:
    """A click, or a page of so many items."""
    if num_rows == 1:
        click = {"event_id": event_id, "request_id": event_id, "item_id": "i-1", "ts": NOW, "action": "click", "user_id": "u" * 64}
        return [Record(event_id, "clicks", [click])]
    page = {"request_id": event_id, "ts": NOW, "surface": "search", "platform": "web", "user_id": "u" * 64, "query": "shirt"}
    page |= {"release_id": "r" * 64, "price": 900.0}
    items = [{"event_id": f"{event_id}/{n}", "item_id": f"i-{n}", "position": n} for n in range(num_rows)]
    return [Record(event_id, "impressions", [page | item for item in items])]


async def measured(append: Append, seconds: float) -> Side:
    """What NUM_CALLERS reach, each with one append at a time."""
    end, took, late = time.perf_counter() + seconds, [], []

    async def caller(who: int) -> None:
        number = 0
        while time.perf_counter() < end:
            began = time.perf_counter()
            await append(f"{who}-{number}-{end}")
            took.append(time.perf_counter() - began)
            number += 1

    async def watch() -> None:
        while time.perf_counter() < end:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - due)

    await asyncio.gather(watch(), *(caller(who) for who in range(NUM_CALLERS)))
    p99 = [statistics.quantiles(values, n=100)[98] * 1000 for values in (took, late)]
    return Side(len(took) / seconds, statistics.median(took) * 1000, *p99)


async def one_sync_each(folder: Path, seconds: float, num_rows: int) -> Side:
    """Lines of a file, one fsync an append, off the event loop."""
    with open(folder / "lines", "ab", buffering=0) as file:

        def write(data: bytes) -> None:
            file.write(data)
            os.fsync(file.fileno())

        async def append(event_id: str) -> None:
            await asyncio.to_thread(write, repr(rows(event_id, num_rows)).encode())

        return await measured(append, seconds)


async def one_commit_each(folder: Path, seconds: float, num_rows: int, cfg: LogConfig) -> Side:
    """The local log as the event log has it, a transaction an append, off the event loop."""
    journal = Journal(folder / "each.sqlite", cfg)

    async def append(event_id: str) -> None:
        await asyncio.to_thread(lambda: journal.write([[encode(record) for record in rows(event_id, num_rows)]], time.time()))

    try:
        return await measured(append, seconds)
    finally:
        journal.close()


async def ours(folder: Path, seconds: float, num_rows: int, cfg: LogConfig) -> tuple[Side, float]:
    """The event log with its flusher at work; and rows flushed a second after the last append."""
    log = await EventLog.open(folder / "state", FolderStore(folder / "store"), cfg)
    side = await measured(lambda event_id: log.append(rows(event_id, num_rows)), seconds)
    left, began = log.state().backlog_rows, time.perf_counter()
    await log.flush()
    flushed_per_s = left / (time.perf_counter() - began)
    await log.close()
    return side, flushed_per_s


def best(sides: list[Side]) -> Side:
    """The round that the machine disturbed least."""
    return max(sides, key=lambda one: one.per_s)


def line(name: str, side: Side, rival: float) -> str:
    return f"| {name} | {side.per_s:,.0f} | {side.per_s / rival:.1f}x | {side.median_ms:.1f} | {side.p99_ms:.1f} | {side.loop_p99_ms:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each side and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    options = parser.parse_args()
    cfg = bind(LogConfig, "log", read_params()["serve"])
    print("| | appends/s | | median ms | p99 ms | event loop late, p99 ms |\n|---|---|---|---|---|---|")
    for num_rows, what in ((1, "a click"), (12, "a page of 12")):
        bare, each, found = [], [], []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                bare.append(asyncio.run(one_sync_each(Path(folder), options.seconds, num_rows)))
                each.append(asyncio.run(one_commit_each(Path(folder), options.seconds, num_rows, cfg)))
                found.append(asyncio.run(ours(Path(folder), options.seconds, num_rows, cfg)))
        rival, (side, flushed_per_s) = best(each), max(found, key=lambda one: one[0].per_s)
        print(line(f"{what}: a bare file, a sync each", best(bare), rival.per_s))
        print(line(f"{what}: a commit each", rival, rival.per_s))
        print(line(f"{what}: event log ({flushed_per_s:,.0f} rows/s flushed)", side, rival.per_s))


if __name__ == "__main__":
    main()
