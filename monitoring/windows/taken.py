"""The second look at a span: the sampled rows as the log has them, and sums over all that count.

N sampled rows, S dimensions, D width of a vector, T parts of the span.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from components.errors import BadData
from components.objects import ObjectStore
from components.predictions import Batch, batches
from components.schema import PREDICTIONS
from monitoring.detectors.measure import Baseline
from monitoring.detectors.sums import Sums
from monitoring.detectors.whole import Chunk, add_up
from monitoring.span import Span
from monitoring.window import COLUMNS, DIMENSIONS
from monitoring.windows.drawn import Drawn, Parts
from monitoring.windows.entries import scores_of, vectors_of
from monitoring.windows.keys import named
from monitoring.windows.ledger import Ledger
from monitoring.windows.listings import Catalogue
from monitoring.windows.segments import Segments

LOGGED = [name for name in PREDICTIONS.names if name in COLUMNS.names and name not in DIMENSIONS]


@dataclass(frozen=True)
class Taken:
    """Rows of monitoring.window.COLUMNS in order of time, with their vectors, float32 (N, D), and the part of each, (N,); `weight` (N,) as
    the sample gave it, `code_NS` its places in the segments. `sums` (T) are over all rows that count; None where a part has none, or the
    sample holds them all."""

    rows: pa.Table
    vectors: np.ndarray
    part: np.ndarray
    weight: np.ndarray
    code_NS: np.ndarray
    sums: tuple[Sums | None, ...]


@dataclass
class Second:
    """The look, and what it has found so far."""

    drawn: Drawn
    catalogue: Catalogue
    baseline: Baseline
    parts: Parts
    dim: int
    tables: list[pa.Table] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    place: list[np.ndarray] = field(default_factory=list)
    sums: dict[int, Sums] = field(default_factory=dict)

    def look(self, file: int, batch: Batch) -> None:
        """Takes the sampled rows of a batch of the file, and where there are more than those, adds up all that count."""
        row, place = self.drawn.wanted(file)
        first, end = np.searchsorted(row, [batch.first, batch.first + batch.rows.num_rows])
        self._take(batch.rows.take(pa.array(row[first:end] - batch.first)), place[first:end])
        if not self.drawn.is_whole:
            self._add(batch.rows.filter(pa.array(self.drawn.counts_of(file, batch.first, batch.rows.num_rows))))

    def _take(self, rows: pa.Table, place: np.ndarray) -> None:
        if len(place):
            scores = pa.array(scores_of(rows), from_pandas=True)
            self.tables.append(rows.select(LOGGED).set_column(LOGGED.index("image_score"), "image_score", scores))
            self.vectors.append(vectors_of(rows, self.dim)[0])
            self.place.append(place)

    def _add(self, rows: pa.Table) -> None:
        part = self.parts.of(rows["ts"].cast(pa.int64()).to_numpy())
        for number in np.unique(part).tolist():
            of_part = rows.filter(pa.array(part == number))
            if (found := self._summed(of_part)) is not None:
                self.sums[number] = self.sums[number] + found if number in self.sums else found

    def _summed(self, rows: pa.Table) -> Sums | None:
        baseline = self.baseline
        table = rows.select(LOGGED).append_column("seller_id", _sellers(rows, self.catalogue))
        chunk = Chunk.of(table, vectors_of(rows, self.dim)[0], np.ones(rows.num_rows), baseline.cfg, baseline.seed)
        return add_up(baseline.space, [chunk], baseline.cfg) if baseline.space and len(chunk.weight_N) else None


def taken(
    store: ObjectStore, span: Span, ledger: Ledger, drawn: Drawn, segments: Segments, catalogue: Catalogue, baseline: Baseline, parts: Parts
) -> Taken:
    """The sampled rows. A file that can no longer be read is set aside and told of, and its rows are missing. Raises StoreFailed."""
    second = Second(drawn, catalogue, baseline, parts, baseline.rows.vector_ND.shape[1])
    for number in sorted(drawn.used):
        if len(drawn.wanted(number)[0]) or not drawn.is_whole:
            try:
                for batch in batches(store, ledger.files[number].file, span.start, span.end):
                    second.look(number, batch)
            except BadData as error:
                ledger.files[number].wrong = str(error)
    return _whole(second, segments)


def _whole(second: Second, segments: Segments) -> Taken:
    """What was found, in order of time."""
    empty = COLUMNS.empty_table().select(LOGGED)
    rows = pa.concat_tables([empty, *(table.cast(empty.schema) for table in second.tables)])
    vectors = np.concatenate([np.zeros((0, second.dim), np.float32), *second.vectors])
    place = np.concatenate([np.zeros(0, np.int64), *second.place])
    ts = rows["ts"].cast(pa.int64()).to_numpy()
    order = np.lexsort([place, ts])
    rows, place, ts = rows.take(pa.array(order)), place[order], ts[order]
    code_NS = second.drawn.sample.code_NS[place]
    sums = tuple(second.sums.get(number) for number in range(len(second.parts.spans)))
    return Taken(
        _joined(rows, code_NS, segments, second.catalogue),
        vectors[order],
        second.parts.of(ts),
        second.drawn.sample.weight[place],
        code_NS,
        sums,
    )


def _joined(rows: pa.Table, code_NS: np.ndarray, segments: Segments, catalogue: Catalogue) -> pa.Table:
    """The rows with the names of their segments and their sellers, as COLUMNS."""
    columns = {name: rows[name] for name in LOGGED} | {"seller_id": _sellers(rows, catalogue)}
    for name, code in zip(DIMENSIONS, code_NS.T, strict=True):
        columns[name] = _words(segments.values[name], code)
    return pa.table([columns[name] for name in COLUMNS.names], schema=COLUMNS)


def _sellers(rows: pa.Table, catalogue: Catalogue) -> pa.Array:
    return _words(catalogue.sellers, catalogue.find(named(rows["item_id"])).seller)


def _words(words: Sequence[str] | pa.Array, code: np.ndarray) -> pa.Array:
    """(N,) the word of each code; null below 0."""
    return pa.array(words, pa.string()).take(pa.array(code, mask=code < 0))
