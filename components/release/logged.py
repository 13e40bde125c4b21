"""The three tables that are counted, as arrays: answers, items shown, and what shoppers did. Texts are hashes (keys.py).

N = rows, H = hits of all rows together.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import schema
from components.errors import BadData
from components.release.channel import FULL, PLATFORMS
from components.release.keys import Hashes, hashes, mixed

ARMS = ("stable", "canary", "shadow")
STABLE, CANARY, SHADOW = range(3)
ACTIONS = ("click", "purchase")
CLICK, PURCHASE = range(2)
NONE = -1
R = TypeVar("R", bound="Rows")
FOLDERS: Mapping[str, tuple[str, pa.Schema, tuple[str, ...]]] = {
    "answers": ("answers", schema.ANSWERS, tuple(name for name in schema.ANSWERS.names if name not in ("route", "revision"))),
    "impressions": ("events/impressions", schema.EVENTS["impressions"], ("request_id", "item_id")),
    "clicks": ("events/clicks", schema.EVENTS["clicks"], ("request_id", "item_id", "ts", "action")),
}


def table_of(data: bytes, name: str) -> pa.Table:
    """The columns that are counted of a file of table `name`. Raises BadData where it is no such file, whole."""
    _, wanted, columns = FOLDERS[name]
    fields = [wanted.field(column) for column in columns]
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        if missing := [field.name for field in fields if field.name not in file.schema_arrow.names]:
            raise BadData(f"no column {', '.join(missing)}")
        found = file.read(columns=list(columns), use_threads=False)
        table = pa.table([found[field.name].cast(field.type) for field in fields], schema=pa.schema(fields))
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadData(" ".join(str(error).split())[:200]) from None
    if nulls := [field.name for field in fields if not field.nullable and table[field.name].null_count]:
        raise BadData(f"null in {', '.join(nulls)}")
    return table


@dataclass(frozen=True)
class Rows:
    """Columns of equal length. `row_N` is a row's identity: the same row in two files has one."""

    row_N: Hashes

    def __len__(self) -> int:
        return len(self.row_N)

    def take(self, index: np.ndarray) -> Self:
        """The rows at those places, or where a mask is true."""
        return dataclasses.replace(self, **{name: column[index] for name, column in vars(self).items()})

    def joined(self, others: Sequence[Self]) -> Self:
        """These rows and the others' after them."""
        columns = {name: np.concatenate([column, *(vars(one)[name] for one in others)]) for name, column in vars(self).items()}
        return dataclasses.replace(self, **columns)


@dataclass(frozen=True)
class Answers(Rows):
    """`user_N` is 0 and `platform_N` NONE where null; `overlap_N` and `shift_N` are nan there. `is_sound_N` says that every value can be.

    `score_H` are the scores of the hits as bits of float16, `num_scores_N` of them a row.
    """

    is_sound_N: np.ndarray
    ts_N: np.ndarray
    request_N: Hashes
    user_N: Hashes
    candidate_N: Hashes
    release_N: Hashes
    arm_N: np.ndarray
    platform_N: np.ndarray
    weight_N: np.ndarray
    status_N: np.ndarray
    latency_N: np.ndarray
    num_hits_N: np.ndarray
    num_sellers_N: np.ndarray
    num_scores_N: np.ndarray
    overlap_N: np.ndarray
    shift_N: np.ndarray
    score_H: np.ndarray

    def take(self, index: np.ndarray) -> Self:
        """The rows at those places, or where a mask is true, with their scores."""
        places = np.flatnonzero(index) if index.dtype == bool else index
        lengths, starts = self.num_scores_N[places], np.cumsum(self.num_scores_N)[places] - self.num_scores_N[places]
        steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        columns = {name: column[places] for name, column in vars(self).items() if name != "score_H"}
        return dataclasses.replace(self, **columns, score_H=self.score_H[np.repeat(starts, lengths) + steps])

    def of_scores(self, is_hit_H: np.ndarray) -> np.ndarray:
        """int64 (N,): how many of each row's scores are marked."""
        total = np.concatenate([[0], np.cumsum(is_hit_H)])
        ends = np.cumsum(self.num_scores_N)
        return np.asarray(total[ends] - total[ends - self.num_scores_N], np.int64)


@dataclass(frozen=True)
class Shown(Rows):
    """An item on a page: `row_N` names both, `page_N` is the hash of the request."""

    page_N: Hashes


@dataclass(frozen=True)
class Acts(Rows):
    """What was done with an item of a page: `slot_N` is the item's Shown.row_N, `kind_N` CLICK or PURCHASE."""

    slot_N: Hashes
    page_N: Hashes
    ts_N: np.ndarray
    kind_N: np.ndarray


def answers_of(table: pa.Table) -> Answers:
    """The rows of schema.ANSWERS."""
    request_N, ts_N, arm_N = hashes(table["request_id"]), _times(table["ts"]), _code(table["arm"], ARMS)
    platform_N = _code(table["platform"], PLATFORMS)
    scores = table["hit_scores"].combine_chunks()
    number = {name: table[name].to_numpy() for name in ("weight_percent", "status", "latency_ms", "num_hits", "num_sellers")}
    is_known_N = (arm_N != NONE) & ((platform_N != NONE) | np.asarray(table["platform"].is_null()))
    is_possible_N = (number["num_sellers"] >= 0) & (number["num_hits"] >= number["num_sellers"]) & (number["weight_percent"] >= 0)
    is_possible_N &= (number["latency_ms"] >= 0) & np.isfinite(number["latency_ms"]) & (number["weight_percent"] <= FULL)
    return Answers(
        row_N=mixed(request_N, ts_N, arm_N),
        is_sound_N=is_known_N & is_possible_N,
        ts_N=ts_N,
        request_N=request_N,
        user_N=hashes(table["user_id"]),
        candidate_N=hashes(table["candidate_id"]),
        release_N=hashes(table["release_id"]),
        arm_N=arm_N,
        platform_N=platform_N,
        weight_N=number["weight_percent"],
        status_N=number["status"],
        latency_N=number["latency_ms"],
        num_hits_N=number["num_hits"],
        num_sellers_N=number["num_sellers"],
        num_scores_N=np.diff(scores.offsets.to_numpy()),
        overlap_N=_nullable(table["overlap"]),
        shift_N=_nullable(table["score_shift"]),
        score_H=scores.flatten().to_numpy(zero_copy_only=False).astype(np.float16).view(np.uint16),
    )


def shown_of(table: pa.Table) -> Shown:
    """The rows of impressions."""
    page_N = hashes(table["request_id"])
    return Shown(mixed(page_N, hashes(table["item_id"])), page_N)


def acts_of(table: pa.Table) -> Acts:
    """The clicks and purchases among the rows of clicks."""
    page_N, ts_N, kind_N = hashes(table["request_id"]), _times(table["ts"]), _code(table["action"], ACTIONS)
    slot_N = mixed(page_N, hashes(table["item_id"]))
    return Acts(mixed(slot_N, ts_N, kind_N), slot_N, page_N, ts_N, kind_N).take(kind_N != NONE)


def _times(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.int64()).to_numpy())


def _code(column: pa.ChunkedArray, values: Sequence[str]) -> np.ndarray:
    """int8 (N,): the place of each text among `values`, NONE for any other."""
    found = pc.fill_null(pc.index_in(column, pa.array(values)), NONE)
    return np.asarray(found.to_numpy(), np.int8)


def _nullable(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(column, float("nan")).to_numpy(), np.float64)


def joined(parts: Sequence[R]) -> R | None:
    """All of them as one; None of none."""
    return parts[0].joined(parts[1:]) if parts else None
