"""What was measured and said of each window, kept in the store under `drift/`.

`drift/values/KIND/WINDOW.parquet` holds a window's numbers; a forecast reads those of the windows that it needs, and no others.
`drift/summaries.parquet` holds a row of every window, ten thousand or more; it is changed by compare-and-swap alone.
"""

import datetime as dt
import io
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import parquet_bytes
from components.errors import BadState, Conflict
from components.objects import ObjectStore
from components.schema import UTC_TIME
from monitoring.judged import CauseName, Judgement, Verdict
from monitoring.judging.config import FollowConfig
from monitoring.judging.past import Key, Past, Values
from monitoring.snooze import Said
from monitoring.span import DAY, Kind, Span
from monitoring.verdict import Before

KEY = "drift/summaries.parquet"
MAX_BYTES = 64 << 20
MAX_SWAPS = 30
QUIET = frozenset({Verdict.QUIET, Verdict.WATCH, Verdict.CALIBRATING})
STEP = {Kind.HOUR: DAY, Kind.DAY: DAY, Kind.WEEK: 7 * DAY}  # from a window to the one that it is compared with first
BETWEEN = "\n"
LOOKED_THROUGH = 4  # times as many windows as forecasts look at, so that there are enough after a long fault

log = logging.getLogger("vitrine")

# A row of a window. `causes` are the keys of those that were named, `calling` those of them that called somebody, `since` when the first of
# the windows in a row with that cause began. `watched` are series that were far off, but asked once a window. `surprise` is the largest.
SUMMARIES = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "name", "release_id", "fingerprint", "verdict", "reason")),
        ("start", UTC_TIME),
        ("end", UTC_TIME),
        ("num_rows", pa.int64()),
        ("surprise", pa.float64()),
        ("threshold", pa.float64()),
        ("causes", pa.list_(pa.string())),
        ("calling", pa.list_(pa.string())),
        ("since", pa.list_(UTC_TIME)),
        ("watched", pa.list_(pa.string())),
        ("problems", pa.list_(pa.string())),
        ("judged_at", UTC_TIME),
    ]
)


@dataclass(frozen=True)
class Summary:
    """What was said of a window, in a row. `surprise` and `threshold` are None where it was not judged."""

    span: Span
    release_id: str
    fingerprint: str
    verdict: Verdict
    reason: str
    num_rows: int
    surprise: float | None
    threshold: float | None
    causes: tuple[str, ...]
    calling: tuple[str, ...]
    since: tuple[dt.datetime, ...]
    watched: tuple[str, ...]
    problems: tuple[str, ...]
    judged_at: dt.datetime

    @classmethod
    def of(cls, judgement: Judgement, judged_at: dt.datetime) -> "Summary":
        """The judgement in a row."""
        threshold = judgement.calibration.threshold if judgement.calibration else math.inf
        far = [one for one in judgement.findings if one.surprise >= threshold and not one.part_surprises]
        causes, start = judgement.causes, judgement.span.start
        return cls(
            span=judgement.span,
            release_id=judgement.release_id,
            fingerprint=judgement.fingerprint,
            verdict=judgement.verdict,
            reason=judgement.reason,
            num_rows=judgement.num_rows,
            surprise=judgement.findings[0].surprise if judgement.findings else None,
            threshold=threshold if math.isfinite(threshold) else None,
            causes=tuple(cause.key for cause in causes),
            calling=tuple(cause.key for cause in causes if judgement.pages and cause.snoozed_until is None),
            since=tuple(cause.since or start for cause in causes),
            watched=tuple(f"{one.measured.detector}{BETWEEN}{one.measured.segment}" for one in far),
            problems=judgement.problems,
            judged_at=judged_at,
        )

    @property
    def is_new_page(self) -> bool:
        """Whether a cause called somebody for the first time: one that goes on is the same page."""
        return any(key in self.calling and since == self.span.start for key, since in zip(self.causes, self.since, strict=True))


def is_quiet(summary: Summary, said: Said) -> bool:
    """Whether a window teaches what is usual: nothing was found in it, or nothing but what somebody accepted."""
    return summary.verdict in QUIET or (summary.verdict is Verdict.DRIFT and said.accepts(summary.causes, summary.span.start))


@dataclass(frozen=True)
class History:
    """The windows in their store. Methods raise StoreFailed where it cannot be reached, BadState where what is there is damaged."""

    store: ObjectStore

    def add(self, values: Values) -> None:
        """Keeps a window's numbers; instead of those that it had, if any."""
        self.store.put(_values_key(values.span), _packed(values))

    def note(self, judgement: Judgement, now: dt.datetime) -> Summary:
        """Keeps what was said of a window, instead of what was said of it before. Raises Conflict where others were first every time."""
        summary = Summary.of(judgement, now)
        self._change(lambda table: _with(table, summary))
        return summary

    def summaries(self, kind: Kind, last: int = 90, until: dt.datetime | None = None, hour: int | None = None) -> list[Summary]:
        """The last windows of that kind, oldest first: of those that ended by `until`, and that began at that hour of a day."""
        table, _ = self._read()
        table = table.filter(pc.equal(table["kind"], kind.value))
        if until is not None:
            table = table.filter(pc.less_equal(table["end"], pa.scalar(until, UTC_TIME)))
        if hour is not None:
            table = table.filter(pc.equal(pc.hour(table["start"]), hour))
        return [_summary(row) for row in table.slice(max(0, table.num_rows - last)).to_pylist()]

    def before(self, span: Span, release_id: str, follow: FollowConfig, said: Said) -> tuple[Past, Before]:
        """What the verdict of a window rests on: windows of its kind that ended before it began, as many as forecasts look at; of hours,
        the same one of days before. A window whose numbers are gone is left out, and told of."""
        hour = span.start.hour if span.kind is Kind.HOUR else None
        known = self.summaries(span.kind, LOOKED_THROUGH * follow.num_past, span.start, hour)
        chosen = _chosen(known, follow.num_past, said)
        values = [self._values(one.span) for one in chosen]
        if gone := [one.span.name for one, found in zip(chosen, values, strict=True) if found is None]:
            log.warning("drift: the numbers of %d windows are gone, the first of %s", len(gone), gone[0])
        kept = [(one, found) for one, found in zip(chosen, values, strict=True) if found is not None]
        accepted = [one.since for one in said.accepted]
        past = Past.of([found for _, found in kept], [is_quiet(one, said) for one, _ in kept], release_id, accepted)
        return past, _before(known, span)

    def _values(self, span: Span) -> Values | None:
        data = self.store.get(_values_key(span))
        if data is None:
            return None
        try:
            return _unpacked(data, span)
        except (pa.ArrowInvalid, KeyError, OSError, ValueError) as error:
            raise BadState(f"{_values_key(span)} is damaged ({error}): remove it, then judge {span.name} again") from None

    def _read(self) -> tuple[pa.Table, str | None]:
        found = self.store.read(KEY, MAX_BYTES)
        if found is None:
            return SUMMARIES.empty_table(), None
        try:
            return _fitted(parquet_bytes.table_of(found.data)), found.version
        except (pa.ArrowException, OSError) as error:
            raise BadState(f"{KEY} is damaged ({error}): put back an earlier version of it, or remove it") from None

    def _change(self, act: Callable[[pa.Table], pa.Table]) -> None:
        for number in range(MAX_SWAPS):
            table, version = self._read()
            try:
                self.store.swap(KEY, _bytes(act(table)), version)
            except Conflict:
                time.sleep(random.uniform(0, min(1.0, 0.02 * 2**number)))
                continue
            return
        raise Conflict(f"others changed {KEY} each of {MAX_SWAPS} times: see which checks run at once, then try again")


def _chosen(known: Sequence[Summary], num: int, said: Said) -> list[Summary]:
    """The last windows that teach something, as many as asked for."""
    return [one for one in known if is_quiet(one, said)][-num:]


def _before(known: Sequence[Summary], span: Span) -> Before:
    """What the window just before said; nothing where there is none."""
    last = known[-1] if known and known[-1].span.end > span.start - STEP[span.kind] else None
    if last is None:
        return Before()
    since = {CauseName(key.partition("/")[0]): at for key, at in zip(last.causes, last.since, strict=True)}
    return Before(since, frozenset(_key(one) for one in last.watched))


def _key(text: str) -> Key:
    name, _, segment = text.partition(BETWEEN)
    return name, segment


def _values_key(span: Span) -> str:
    return f"drift/values/{span.kind.value}/{span.start:%Y}/{span.name}.parquet"


def _packed(values: Values) -> bytes:
    """A row of each series: the whole window's value, and the parts'."""
    looks = pa.FixedSizeListArray.from_arrays(pa.array(values.value_LK.T.ravel(), pa.float32()), len(values.value_LK))
    names, segments = (pa.array([key[place] for key in values.keys], pa.string()).dictionary_encode() for place in (0, 1))
    table = pa.table({"name": names, "segment": segments, "values": looks})
    return _bytes(table.replace_schema_metadata({"release_id": values.release_id}))


def _unpacked(data: bytes, span: Span) -> Values:
    table = parquet_bytes.table_of(data)
    looks = table["values"].combine_chunks()
    keys = tuple(zip(table["name"].to_pylist(), table["segment"].to_pylist(), strict=True))
    numbers = looks.flatten().to_numpy(zero_copy_only=False).reshape(len(keys), -1).T
    return Values(span, table.schema.metadata[b"release_id"].decode(), keys, np.ascontiguousarray(numbers, np.float32))


def _fitted(table: pa.Table) -> pa.Table:
    """The rows with the columns of SUMMARIES, null where an older file has none."""
    return pa.concat_tables([SUMMARIES.empty_table(), table], promote_options="default").select(SUMMARIES.names).cast(SUMMARIES)


def _bytes(table: pa.Table) -> bytes:
    into = io.BytesIO()
    pq.write_table(table, into, compression="zstd")
    return into.getvalue()


def _with(table: pa.Table, summary: Summary) -> pa.Table:
    """The table with the window's row, in order of time."""
    same = pc.and_(pc.equal(table["kind"], summary.span.kind.value), pc.equal(table["name"], summary.span.name))
    found = pa.concat_tables([table.filter(pc.invert(same)), pa.Table.from_pylist([_row(summary)], SUMMARIES)])
    return found.sort_by([("end", "ascending"), ("start", "descending")])


def _row(summary: Summary) -> dict[str, Any]:
    span = summary.span
    plain = {name: getattr(summary, name) for name in SUMMARIES.names if hasattr(summary, name)}
    return plain | {"kind": span.kind.value, "name": span.name, "start": span.start, "end": span.end, "verdict": summary.verdict.value}


def _summary(row: dict[str, Any]) -> Summary:
    span = Span(Kind(row["kind"]), row["start"], row["end"])
    lists: dict[str, Any] = {name: tuple(row[name] or ()) for name in ("causes", "calling", "since", "watched", "problems")}
    plain = ("release_id", "fingerprint", "reason", "num_rows", "surprise", "threshold", "judged_at")
    return Summary(span=span, verdict=Verdict(row["verdict"]), **{name: row[name] for name in plain}, **lists)
