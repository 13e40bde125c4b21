"""What is told of each file that was looked at, and of all of them, before any row is judged.

H hours of the span.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.files import FIRST_US, LAST_US
from components.predictions import PredictionFile
from monitoring.windows.entries import SLACK_US, Sorted
from monitoring.windows.listings import HOUR_US

GATEWAYS = re.compile(r".*/(.+)-(\d{12})-\d{12}-[0-9a-f]{16}\.parquet")  # how a gateway names what it writes: itself, and the rows' numbers
MAX_STEPS, STEP_ROWS = 3, 100  # backwards in one file, and rows for each; else it is in no order of time, so its order tells nothing


@dataclass
class Tally:
    """Rows of the span, by hour (H,), and by why they do not count; `foreign` by the release that answered them."""

    num_by_hour: np.ndarray
    num_texts: int = 0
    num_mixed: int = 0
    foreign: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Takes another's rows in."""
        self.num_by_hour = self.num_by_hour + other.num_by_hour
        self.num_texts += other.num_texts
        self.num_mixed += other.num_mixed
        self.foreign += other.foreign


@dataclass
class SeenFile:
    """A file's rows that were read and the number after its last one; how many carry a time that it cannot know, how many are of the span
    and how many of those came before. `steps` are (from, to) where its rows go back in time by more than a clock's slack, in
    microseconds. `wrong` says why it is set aside."""

    file: PredictionFile
    num_rows: int = 0
    end_row: int = 0
    num_misplaced: int = 0
    num_here: int = 0
    num_repeated: int = 0
    first_us: int | None = None
    last_us: int | None = None
    steps: list[tuple[int, int]] = field(default_factory=list)
    wrong: str | None = None

    def note(self, first: int, ts_us: np.ndarray, rows: Sorted) -> None:
        """Takes the next rows into account, the first of which has that number in the file."""
        self.num_rows += len(ts_us)
        self.end_row = first + len(ts_us)
        self.num_misplaced += int(rows.misplaced.sum())
        self.num_here += int((rows.here & ~rows.misplaced).sum())
        if not len(ts_us):
            return
        before = np.concatenate([[ts_us[0] if self.last_us is None else self.last_us], ts_us[:-1]])
        back = np.flatnonzero(ts_us < before - SLACK_US)[: MAX_STEPS + 1]
        self.steps = (self.steps + [(int(before[place]), int(ts_us[place])) for place in back])[: MAX_STEPS + 1]
        self.first_us = int(ts_us[0]) if self.first_us is None else self.first_us
        self.last_us = int(ts_us[-1])


def tally_of(rows: pa.Table, found: Sorted, start_us: int, num_hours: int) -> Tally:
    """What a batch's rows add."""
    there = rows["ts"].cast(pa.int64()).to_numpy()[found.here & ~found.misplaced]
    by_hour = np.bincount((there - start_us) // HOUR_US, minlength=num_hours)
    counted = pc.value_counts(rows["release_id"].filter(pa.array(found.foreign))).to_pylist()
    foreign = Counter({str(one["values"]): int(one["counts"]) for one in counted})
    return Tally(by_hour, int(found.text.sum()), int(found.mixed.sum()), foreign)


def steps_back(files: list[SeenFile]) -> list[tuple[dt.datetime, dt.datetime]]:
    """(from, to) where a clock was set back: inside files that are else in order of time, and from one file of a gateway to its next."""
    inside = [step for one in files if len(one.steps) <= min(MAX_STEPS, one.num_rows // STEP_ROWS) for step in one.steps]
    return [(_time(before), _time(after)) for before, after in sorted({*inside, *_between(files)})]


def _between(files: list[SeenFile]) -> Iterator[tuple[int, int]]:
    named = [(found[1], int(found[2]), one) for one in files if (found := GATEWAYS.fullmatch(one.file.key))]
    named.sort(key=lambda one: one[:2])
    for (name, _, before), (other_name, _, after) in pairwise(named):
        if name == other_name and before.last_us is not None and after.first_us is not None and after.first_us < before.last_us - SLACK_US:
            yield before.last_us, after.first_us


def _time(us: int) -> dt.datetime:
    """The time, or the nearest one that a calendar has."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=min(max(us, FIRST_US), LAST_US))
