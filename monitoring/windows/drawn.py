"""The sample of a span: which rows, and what they are worth.

N rows, S dimensions, V values of a dimension, T parts of the span.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitoring.detectors.hashes import mixed
from monitoring.sampling import Sample, Sampler
from monitoring.span import Span
from monitoring.window import DIMENSIONS
from monitoring.windows.config import WindowsConfig
from monitoring.windows.entries import FAULTS
from monitoring.windows.keys import NO_NAME, joined
from monitoring.windows.ledger import Ledger
from monitoring.windows.listings import Catalogue, microseconds
from monitoring.windows.segments import Segments

ROW_BITS, ROW_MASK = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Parts:
    """A span cut into parts of equal length."""

    spans: tuple[Span, ...]

    def of(self, ts_us: np.ndarray) -> np.ndarray:
        """(N,) the part that each time lies in."""
        first = self.spans[0]
        length_us = (first.end - first.start) // dt.timedelta(microseconds=1)
        return np.asarray((ts_us - microseconds(first.start)) // length_us)


@dataclass(frozen=True)
class Drawn:
    """A sample, and what the log holds: (V, T) rows of each value and part by dimension, and (T,) rows in all. `used` marks the rows of
    each file that count, a bit a row. `faults`: rows at fault by FAULTS; `num_unlisted` name an item whose listing is not known.
    `num_held`: the most rows that were in memory at once."""

    sample: Sample
    counts: Mapping[str, np.ndarray]
    total_T: np.ndarray
    used: Mapping[int, np.ndarray]
    faults: Mapping[int, int]
    num_unlisted: int
    num_held: int

    @property
    def is_whole(self) -> bool:
        """Whether every row is in the sample."""
        return len(self.sample.weight) == int(self.total_T.sum())

    def wanted(self, file: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the sampled rows that lie in the file: their numbers in it, rising, and their places in the sample."""
        first, end = np.searchsorted(self._sorted, np.array([file, file + 1], np.uint64) << ROW_BITS)
        return (self._sorted[first:end] & ROW_MASK).astype(np.int64), self._order[first:end]

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.sample.reference)

    @cached_property
    def _sorted(self) -> np.ndarray:
        return np.asarray(self.sample.reference[self._order])

    def counts_of(self, file: int, first: int, num: int) -> np.ndarray:
        """(num,) which of the file's rows from number `first` on count."""
        row = np.arange(first, first + num)
        return np.asarray(self.used[file][row >> 3] >> (row & 7) & 1).astype(bool) if file in self.used else np.zeros(num, bool)


def drawn(ledger: Ledger, catalogue: Catalogue, segments: Segments, parts: Parts, cfg: WindowsConfig, seed: int) -> Drawn:
    """The sample of the ledger's rows, and the rows of each segment in each part of the span."""
    sampler, num_parts, held = Sampler(cfg.sample_rows, cfg.segment_rows, len(DIMENSIONS)), len(parts.spans), 0
    counts = {name: np.zeros((len(segments.values[name]), num_parts), np.int64) for name in DIMENSIONS}
    totals, used = np.zeros(num_parts, np.int64), _unused(ledger)
    faults, num_unlisted = dict.fromkeys(FAULTS, 0), 0
    for rows in ledger.partitions():
        code, part = segments.of(rows, catalogue), parts.of(rows["ts"])
        for name, found in segments.counted(code, part, num_parts).items():
            counts[name] += found
        totals += np.bincount(part, minlength=num_parts)
        place = rows["file"].astype(np.uint64) << ROW_BITS | rows["row"]
        sampler.offer(mixed(joined(rows["key"], rows["ts"].view(np.uint64)), seed), place, code)
        held = max(held, sampler.num_held)
        faults = {fault: count + int((rows["fault"] & fault > 0).sum()) for fault, count in faults.items()}
        num_unlisted += int(((rows["item"] != NO_NAME) & ~catalogue.find(rows["item"]).known).sum())
        _mark(used, rows)
    return Drawn(sampler.sample(), counts, totals, used, faults, num_unlisted, held)


def _unused(ledger: Ledger) -> dict[int, np.ndarray]:
    return {number: np.zeros(one.end_row // 8 + 1, np.uint8) for number, one in enumerate(ledger.files) if one.num_here}


def _mark(used: Mapping[int, np.ndarray], rows: np.ndarray) -> None:
    order = np.argsort(rows["file"], kind="stable")
    for place in np.split(order, np.flatnonzero(np.diff(rows["file"][order])) + 1):
        if len(place):
            row = rows["row"][place]
            np.bitwise_or.at(used[int(rows["file"][place[0]])], row >> 3, np.left_shift(1, row & 7).astype(np.uint8))
