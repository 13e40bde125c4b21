"""A release's held-out items as a window, from its bundle's drift_reference.parquet; a sample of them where there are many.

N rows, S dimensions, D width of a vector.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import BadBundle
from monitoring.buckets import QUALITIES, quality_edges_of, quality_of
from monitoring.detectors.config import DetectorsConfig
from monitoring.detectors.hashes import mixed
from monitoring.detectors.space import Space
from monitoring.detectors.sums import Sums
from monitoring.detectors.whole import Chunk, add_up, fit
from monitoring.sampling import Sampler, raked
from monitoring.window import ALL, COLUMNS, Window
from monitoring.windows.config import WindowsConfig
from monitoring.windows.keys import named
from monitoring.windows.listings import MISSING, Names, roots_of

BATCH_ROWS = 16_384
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)  # held-out items were shown at no time
LIGHT = ["item_id", "fingerprint", "image_score", "category", "title_language", "app_version"]
KNOWN = ("category", "app_version", "quality", "title_language")  # of an item that was shown to nobody


@dataclass(frozen=True)
class HeldOut:
    """The window; where it is a sample, the vector space and the sums of all items, else None; and the scores' inner quartiles."""

    window: Window
    space: Space | None
    sums: Sums | None
    quality_edges: tuple[float, float, float]


@dataclass(frozen=True)
class _Light:
    """Every item in a few numbers: its own (N,), its score (N,), and places in `values` of each of KNOWN, (N, S)."""

    number: np.ndarray
    scores: np.ndarray
    code_NS: np.ndarray
    values: list[list[str]]
    edges: tuple[float, float, float]

    @property
    def counts(self) -> list[np.ndarray]:
        """Items of each value, by dimension."""
        both = zip(self.code_NS.T, self.values, strict=True)
        return [np.bincount(code[code != MISSING], minlength=len(words)) for code, words in both]

    @property
    def num_rows(self) -> dict[str, int]:
        """Items by segment."""
        found = {ALL: len(self.number)}
        for name, words, count in zip(KNOWN, self.values, self.counts, strict=True):
            found |= {f"{name}={word}": int(n) for word, n in sorted(zip(words, count, strict=True)) if n}
        return found


def read_held_out(path: Path, fingerprint: str, windows: WindowsConfig, detectors: DetectorsConfig, seed: int) -> HeldOut:
    """Every item, or where there are more than `sample_rows`, a sample that keeps each segment. Raises BadBundle where there is none, or
    where vectors are of another space than the bundle's."""
    light = _light(path, fingerprint)
    sampler = Sampler(windows.sample_rows, windows.segment_rows, len(KNOWN))
    sampler.offer(mixed(light.number, seed), np.arange(len(light.number), dtype=np.uint64), light.code_NS)
    sample = sampler.sample()
    order = np.argsort(sample.reference)
    weight = raked(sample.weight, sample.code_NS, light.counts, len(light.number))[order]
    rows, vectors = _taken(path, sample.reference[order].astype(np.int64), light.edges)
    window = Window(LONG_AGO, LONG_AGO, fingerprint, rows, vectors, weight, light.num_rows)
    if len(weight) == len(light.number):
        return HeldOut(window, None, None, light.edges)
    space = fit(_chunks(path, light.edges, detectors, seed), detectors, seed)
    return HeldOut(window, space, add_up(space, _chunks(path, light.edges, detectors, seed), detectors), light.edges)


def _light(path: Path, fingerprint: str) -> _Light:
    names, number, scores, codes = {name: Names() for name in KNOWN}, [], [], []
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(BATCH_ROWS, columns=LIGHT):
        rows = pa.Table.from_batches([batch])
        if others := set(rows["fingerprint"].unique().to_pylist()) - {fingerprint}:
            raise BadBundle(f"{path} holds vectors of {', '.join(map(str, others))}, the bundle is {fingerprint}; run `dvc repro`")
        number.append(named(rows["item_id"]))
        scores.append(rows["image_score"].to_numpy())
        columns = {"category": roots_of(rows["category"]), **{name: rows[name] for name in ("app_version", "title_language")}}
        codes.append({name: names[name].coded(column) for name, column in columns.items()})
    score = np.concatenate([np.zeros(0, np.float32), *scores])
    if not np.isfinite(score).any():
        raise BadBundle(f"{path} holds no item with a score: drift has nothing to be measured against; see `split` in params.yaml")
    edges = quality_edges_of(score[np.isfinite(score)])
    names["quality"].coded(pa.array(QUALITIES))
    found = {name: np.concatenate([one[name] for one in codes]) for name in codes[0]}
    found["quality"] = np.where(np.isfinite(score), quality_of(score, edges), MISSING)
    code_NS = np.stack([found[name] for name in KNOWN], axis=1)
    return _Light(np.concatenate(number), score, code_NS, [names[name].words for name in KNOWN], edges)


def _taken(path: Path, places: np.ndarray, edges: tuple[float, float, float]) -> tuple[pa.Table, np.ndarray]:
    """The rows of these numbers, rising, as COLUMNS, and their vectors."""
    tables, vectors, first = [COLUMNS.empty_table()], [], 0
    for table, batch_vectors in _batches(path, edges):
        low, high = np.searchsorted(places, [first, first + table.num_rows])
        here = places[low:high] - first
        tables.append(table.take(pa.array(here)))
        vectors.append(batch_vectors[here])
        first += table.num_rows
    return pa.concat_tables(tables), np.concatenate(vectors)


def _chunks(path: Path, edges: tuple[float, float, float], cfg: DetectorsConfig, seed: int) -> Iterator[Chunk]:
    return (Chunk.of(table, vectors, np.ones(table.num_rows), cfg, seed) for table, vectors in _batches(path, edges))


def _batches(path: Path, edges: tuple[float, float, float]) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Some items at a time, as COLUMNS, null where an item that was shown to nobody has nothing; and float32 (N, D) vectors."""
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(BATCH_ROWS):
        found = pa.Table.from_batches([batch])
        scores = found["image_score"].to_numpy()
        quality = np.where(np.isfinite(scores), quality_of(scores, edges), MISSING)
        made = {
            "category": roots_of(found["category"]),
            "quality": pa.array(QUALITIES).take(pa.array(quality, mask=quality == MISSING)),
        }
        columns = [_column(found, made, field) for field in COLUMNS]
        vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        yield pa.table(columns, schema=COLUMNS), vectors.astype(np.float32)


def _column(found: pa.Table, made: dict[str, pa.Array], field: pa.Field) -> pa.Array | pa.ChunkedArray:
    if field.name in made:
        return made[field.name]
    return found[field.name].cast(field.type) if field.name in found.column_names else pa.nulls(found.num_rows, field.type)
