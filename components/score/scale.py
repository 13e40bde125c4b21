"""The Image Score's scale: begun by the first training, carried on from the stable release by every later one.

N = anchors.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import calibrator
from components.calibrator import ANCHORS, CALIBRATOR
from components.errors import BadData, BadPicture
from components.images import decode
from components.schema import ANCHORS as ANCHORS_SCHEMA
from components.shards import write_table

log = logging.getLogger("vitrine")

Outputs = Callable[[list[bytes]], np.ndarray]  # the head's own number in [0, 1] for each encoded photo


@dataclass(frozen=True)
class Scale:
    """How a scale came about. `shift` is the mean distance of the anchors' Image Scores from their targets, in [0, 1]: how far single
    photos moved, which two heads that order photos otherwise cannot help."""

    num_anchors: int
    num_left_out: int
    shift: float


def chosen_anchors(image_ids: Iterable[str], num: int) -> list[str]:
    """The photos with the lowest digest of their id, so that no score can choose them."""
    return sorted(set(image_ids), key=lambda i: hashlib.sha256(i.encode()).digest())[:num]


def begin(folder: Path, image_ids: list[str], photos: Mapping[str, bytes], outputs: Outputs) -> Scale:
    """Writes those photos as anchors, each with its place among them as its target, and the calibrator that takes them there."""
    data = [photos[i] for i in image_ids]
    raw_N = outputs(data)
    target_N = calibrator.mid_ranks(raw_N)
    columns = {"image_id": image_ids, "data": data, "target": target_N.tolist()}
    table = pa.table({name: pa.array(values, ANCHORS_SCHEMA.field(name).type) for name, values in columns.items()})
    write_table(folder / ANCHORS, table, ANCHORS_SCHEMA)
    return _fitted(folder, raw_N, target_N, num_left_out=0)


def carry_on(folder: Path, release: Path, outputs: Outputs, held_out: Collection[str], min_share: float) -> Scale:
    """Copies the anchors of a release as they are, and writes the calibrator that gives this head's scores of them the distribution of
    their targets (equipercentile equating, Kolen and Brennan 2014, ch. 2).

    Not a regression of targets on outputs: that pulls scores to the middle by as much as two heads differ, and a boost from 0.9 on
    would reach fewer photos at each retraining. Anchors that are held out now, or that can no longer be decoded, stay in the file but
    are not fitted to. Raises BadData where less than `min_share` of them are left.
    """
    rows = pq.read_table(release / ANCHORS).to_pylist()
    seen = [row for row in rows if row["image_id"] not in held_out]
    used = [row for row in seen if _decodes(row["image_id"], row["data"])]
    if len(used) < max(2, min_share * len(rows)):
        raise BadData(
            f"score: the scale of the stable release {release.name[:12]} cannot be carried on: {len(used)} of its {len(rows)} anchors can "
            f"be used (score.min_anchor_share {min_share:g}); {len(rows) - len(seen)} are held out now, {len(seen) - len(used)} cannot be "
            "decoded. Split as that release did, lower score.min_anchor_share, or take a snapshot that names no stable release, which "
            "begins a new scale"
        )
    shutil.copyfile(release / ANCHORS, folder / ANCHORS)
    target_N = np.array([row["target"] for row in used], np.float64)
    return _fitted(folder, outputs([row["data"] for row in used]), target_N, num_left_out=len(rows) - len(used))


def _decodes(image_id: str, data: bytes) -> bool:
    try:
        decode(data)
    except BadPicture as error:
        log.warning("score: anchor %s is left out: %s", image_id[:12], error)
        return False
    return True


def _fitted(folder: Path, raw_N: np.ndarray, target_N: np.ndarray, num_left_out: int) -> Scale:
    fitted = calibrator.fit(np.sort(raw_N), np.sort(target_N))
    fitted.write(folder / CALIBRATOR)
    shift = float(np.abs(fitted(raw_N) - target_N).mean()) if len(raw_N) else 0.0
    return Scale(num_anchors=len(raw_N) + num_left_out, num_left_out=num_left_out, shift=shift)
