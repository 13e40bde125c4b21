"""A row of the prediction log in a few numbers: enough to say which rows count, once each, in which segments, and what is wrong with them.

N rows, D width of a vector.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.window import CLOCK_SLACK, latest_of
from components.predictions import LATE, Batch, PredictionFile
from monitoring.buckets import quality_of
from monitoring.windows.keys import joined, named
from monitoring.windows.listings import MISSING, Names, microseconds

SLACK_US = CLOCK_SLACK // dt.timedelta(microseconds=1)
UNIT_ERROR = 0.01  # by which a vector may be longer or shorter than 1: float16 makes a tenth of it
NAMING = ("request_id", "route", "item_id", "image_id")  # rows that agree in these are one, unless one request asked twice

# What can be wrong with a row that is there all the same: the field at fault is left out, the others count.
WIDTH, NOT_FINITE, LENGTH, SCORE = 1, 2, 4, 8
FAULTS = {
    WIDTH: "vectors of another width",
    NOT_FINITE: "vectors that are no numbers",
    LENGTH: "vectors that are not of unit length",
    SCORE: "Image Scores outside 0 to 1",
}
BAD_VECTOR = WIDTH | NOT_FINITE | LENGTH

# `key` is the row's name, `file` and `row` where it lies; `item` its item's number, 0 where it has none; places of platform and version in
# Names, of quality in buckets.QUALITIES, MISSING where there is none; `fault` the FAULTS added up.
ENTRY = np.dtype(
    [
        *(("key", "u8"), ("ts", "i8"), ("file", "u4"), ("row", "u4"), ("item", "u8")),
        *(("platform", "i4"), ("version", "i4"), ("quality", "i1"), ("fault", "u1")),
    ]
)


@dataclass(frozen=True)
class Owner:
    """Whose rows count: a release's, of one vector space of D values, with the quartiles of its own reference's scores."""

    release_id: str
    fingerprint: str
    dim: int
    quality_edges: tuple[float, float, float]


@dataclass(frozen=True)
class Sorted:
    """Which of a batch's rows (N,) are of the span; of those, which carry a time that their file cannot know, are of a text, of another
    release, or of another vector space though of this release; and which count."""

    here: np.ndarray
    misplaced: np.ndarray
    text: np.ndarray
    foreign: np.ndarray
    mixed: np.ndarray
    counts: np.ndarray


def sort_out(rows: pa.Table, file: PredictionFile, since: dt.datetime, until: dt.datetime, owner: Owner) -> Sorted:
    """The rows by what becomes of them. `misplaced` rows need not lie in the span: a clock that is wrong takes them elsewhere."""
    ts = rows["ts"].cast(pa.int64()).to_numpy()
    here = (ts >= microseconds(since)) & (ts < microseconds(until))
    earliest = dt.datetime.combine(file.day, dt.time(), dt.UTC) - LATE - CLOCK_SLACK
    misplaced = (ts > microseconds(latest_of(file.day))) | (ts < microseconds(earliest))
    text = here & ~misplaced & pc.is_null(rows["image_id"]).to_numpy()
    photo = here & ~misplaced & ~text
    own = pc.equal(rows["release_id"], owner.release_id).to_numpy()
    same_space = pc.equal(rows["fingerprint"], owner.fingerprint).to_numpy()
    return Sorted(here, misplaced, text, photo & ~own, photo & own & ~same_space, photo & own & same_space)


def entries(batch: Batch, counts: np.ndarray, file_number: int, owner: Owner, platforms: Names, versions: Names) -> np.ndarray:
    """ENTRY of the batch's rows that count, (N,) marked."""
    here = pa.array(counts)
    rows = batch.rows.filter(here)
    scores = scores_of(rows)
    made = np.zeros(rows.num_rows, ENTRY)
    made["key"] = joined(*(named(rows[name]) for name in NAMING))
    made["ts"] = rows["ts"].cast(pa.int64()).to_numpy()
    made["file"], made["row"] = file_number, batch.first + np.flatnonzero(counts)
    made["item"] = named(rows["item_id"])
    made["platform"], made["version"] = platforms.coded(rows["platform"]), versions.coded(rows["app_version"])
    made["quality"] = np.where(np.isnan(scores), MISSING, quality_of(scores, owner.quality_edges))
    unsound = np.isnan(scores) & pc.is_valid(rows["image_score"]).to_numpy()
    made["fault"] = vectors_of(rows, owner.dim)[1] | np.where(unsound, SCORE, 0).astype(np.uint8)
    return made


def scores_of(rows: pa.Table) -> np.ndarray:
    """float32 (N,) Image Scores, NaN where there is none between 0 and 1."""
    found = rows["image_score"].to_numpy()
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where((found >= 0) & (found <= 1), found, np.nan), np.float32)


def vectors_of(rows: pa.Table, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (N, D) vectors, NaN where one is at fault, and (N,) the fault, 0 for none."""
    lists = rows["vector"].combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], lists.type)
    offset = lists.offsets.to_numpy()
    right = np.diff(offset) == dim
    values = np.asarray(lists.values.to_numpy(zero_copy_only=False), np.float16)
    if right.all():
        found = values[offset[0] : offset[-1]].reshape(-1, dim).astype(np.float32)
    else:
        found = np.full((len(lists), dim), np.nan, np.float32)
        found[right] = values[offset[:-1][right][:, None] + np.arange(dim)]
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt(np.einsum("nd,nd->n", found, found))
    finite = np.isfinite(length)
    unit = np.abs(np.where(finite, length, 1) - 1) <= UNIT_ERROR
    fault = np.where(~right, WIDTH, np.where(~finite, NOT_FINITE, np.where(~unit, LENGTH, 0))).astype(np.uint8)
    found[fault > 0] = np.nan
    return found, fault
