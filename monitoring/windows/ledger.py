"""The first look at a span: every row in a few numbers, on the disk, so that each counts once and memory does not grow with the rows.

N rows, P partitions.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from components.errors import BadData
from components.ingest.spill import Chunks
from components.objects import ObjectStore
from components.predictions import PredictionFile, batches, prediction_files, within
from monitoring.span import Span
from monitoring.windows.entries import ENTRY, Owner, entries, sort_out
from monitoring.windows.files import SeenFile, Tally, tally_of
from monitoring.windows.listings import Names, microseconds

PARTITION_BITS = 5
ONE_DAY, WEEK_DAYS = dt.timedelta(days=1), 7


@dataclass
class Ledger:
    """What a span's files hold. Rows of files that are set aside are in no partition."""

    files: list[SeenFile]
    tally: Tally
    platforms: Names
    versions: Names
    spilled: Chunks

    def partitions(self) -> Iterator[np.ndarray]:
        """ENTRY of every row that counts, once each: a part of them at a time, by their keys."""
        for number in range(1 << PARTITION_BITS):
            yield self._used(number)[0]

    def count_repeated(self) -> int:
        """Rows that came before, in the same or in another file; each file is told how many of its own."""
        repeated: Counter[int] = Counter()
        for number in range(1 << PARTITION_BITS):
            repeated.update(self._used(number)[1].tolist())
        for place, count in repeated.items():
            self.files[place].num_repeated = count
        return repeated.total()

    def _used(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The partition's rows, once each, and the file of each further one: the row stays that stands in the file of the first name."""
        found = np.concatenate([np.zeros(0, ENTRY), *(np.frombuffer(data, ENTRY) for data in self.spilled.of(number))])
        wrong = np.array([one.wrong is not None for one in self.files] + [False])
        found = found[~wrong[found["file"]]]
        found = found[np.lexsort([found["row"], found["file"], found["ts"], found["key"]])]
        again = np.zeros(len(found), bool)
        again[1:] = (found["key"][1:] == found["key"][:-1]) & (found["ts"][1:] == found["ts"][:-1])
        return found[~again], found["file"][again]


def looked_through(store: ObjectStore, span: Span, owner: Owner, scratch: Path) -> Ledger:
    """Every file in which rows of the span may lie, read once. A file that cannot be read is set aside and told of. Raises StoreFailed."""
    num_hours = -((span.end - span.start) // -dt.timedelta(hours=1))
    found = Ledger([], Tally(np.zeros(num_hours, np.int64)), Names(), Names(), Chunks(scratch, 1 << PARTITION_BITS))
    for file in sorted(prediction_files(store, span.start, span.end), key=lambda one: one.key):
        found.files.append(SeenFile(file))
        tally = Tally(np.zeros(num_hours, np.int64))
        try:
            _read(store, file, span, owner, found, tally)
        except BadData as error:
            found.files[-1].wrong = str(error)
        else:
            found.tally.add(tally)
    return found


def is_of(file: PredictionFile, span: Span) -> bool:
    """Whether the file was written on a day of the span."""
    return bool(span.start.date() <= file.day <= (span.end - dt.timedelta(microseconds=1)).date())


def num_usual(store: ObjectStore, span: Span) -> int:
    """Rows that the log holds of the same time on an earlier day of the week before, of a week's span of the week before: the median of
    those that have any; 0 where none has."""
    step = max(ONE_DAY, span.end - span.start)
    starts = [span.start - number * step for number in range(1, WEEK_DAYS * ONE_DAY // step + 1)]
    counts = np.zeros(len(starts), np.int64)
    for file in prediction_files(store, starts[-1], span.start):
        with suppress(BadData):
            for batch in batches(store, file, starts[-1], span.start):
                counts += [within(batch.rows, start, start + (span.end - span.start)).num_rows for start in starts]
    return int(np.median(counts[counts > 0])) if counts.any() else 0


def _read(store: ObjectStore, file: PredictionFile, span: Span, owner: Owner, found: Ledger, tally: Tally) -> None:
    """Of files of other days only what may be of the span; of the span's own days all, for a clock that was wrong."""
    bounds = (None, None) if is_of(file, span) else (span.start, span.end)
    for batch in batches(store, file, *bounds):
        rows = sort_out(batch.rows, file, span.start, span.end, owner)
        found.files[-1].note(batch.first, batch.rows["ts"].cast("int64").to_numpy(), rows)
        tally.add(tally_of(batch.rows, rows, microseconds(span.start), len(tally.num_by_hour)))
        made = entries(batch, rows.counts & rows.here, len(found.files) - 1, owner, found.platforms, found.versions)
        _spill(found.spilled, made)


def _spill(spilled: Chunks, made: np.ndarray) -> None:
    partition = (made["key"] >> np.uint64(64 - PARTITION_BITS)).astype(np.int64)
    order = np.argsort(partition, kind="stable")
    edges = np.searchsorted(partition[order], np.arange((1 << PARTITION_BITS) + 1))
    for number, (first, end) in enumerate(pairwise(edges)):
        if first < end:
            spilled.add(number, made[order[first:end]].tobytes())
