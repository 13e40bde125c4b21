"""The stable release on the held-out items: what the candidate has to live up to.

Its answers to the items that it held out itself lie in its bundle, as they were served. Photos that are new since go through its own
image tower. What it was taught on is left out, as it would flatter it. N = held-out items, B = photos in a batch, D = vector width.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from components.bundle import DRIFT_REFERENCE, GOLDEN, INDEX_FOLDER
from components.calibrator import CALIBRATOR, Calibrator
from components.contract import Config
from components.errors import BadPicture
from components.evaluate.baselines import row_of
from components.evaluate.held_out import HeldOut, vectors_of
from components.evaluate.rankings import Exact
from components.evaluate.table import STABLE, Row
from components.images import digest as images_digest
from components.images import normalise
from components.neighbours import ITEMS
from components.objects import ObjectStore
from components.photos import ahead, squares
from components.progress import track
from components.shards import shard_paths
from components.towers import IMAGE_GRAPH, SERVING, open_session
from components.work_cache import WorkCache

log = logging.getLogger("vitrine")

BATCH = 32

Answers = dict[str, tuple[np.ndarray, float]]


class StableConfig(Config):
    """min_golden_cosine: how near its golden photos must come to their vectors before the release is asked about new photos."""

    min_golden_cosine: float = Field(gt=0, le=1)
    threads: int = Field(ge=1)


@dataclass(frozen=True)
class Stable:
    """The stable release's row and image scores (N,), NaN where it is not compared.

    Not compared are `num_taught` items, of owners it was taught on, and `num_unasked` items whose photo it did not hold out itself:
    it is asked about those only where golden_cosine, the worst of its golden photos, is high enough (None where there are none to ask).
    """

    digest: str
    row: Row
    score_N: np.ndarray
    num_taught: int
    num_unasked: int
    golden_cosine: float | None

    def as_json(self) -> dict[str, Any]:
        """What the report says of it."""
        counts = {"num_compared": int(self.row.present_N.sum()), "num_taught": self.num_taught, "num_unasked": self.num_unasked}
        return {"release": self.digest, **counts, "golden_cosine": self.golden_cosine}


def read_stable(held: HeldOut, images: Path, release: Path, cfg: StableConfig, store: ObjectStore) -> Stable:
    """The stable release in the folder `release`, named after its digest and checked, on the held-out items."""
    reference = pq.read_table(release / DRIFT_REFERENCE, columns=["item_id", "image_id", "vector", "image_score"])
    catalogue = pq.read_table(release / INDEX_FOLDER / ITEMS)["item_id"].to_pylist()
    taught_N = taught_on(held, catalogue, reference["item_id"].to_pylist())
    image_of = {item: image for item, image, taught in zip(held.item_id, held.image_id, taught_N, strict=True) if not taught}
    answers, golden = _answers(reference, set(image_of.values()), images, release, cfg, store)
    known = {item: answers[image] for item, image in image_of.items() if image in answers}
    row = row_of(STABLE, held.item_id, {item: vector for item, (vector, _) in known.items()})
    return Stable(
        digest=release.name,
        row=dataclasses.replace(row, twin=Exact(held.vector_ND)),
        score_N=np.array([known[item][1] if item in known else np.nan for item in held.item_id], np.float64),
        num_taught=int(taught_N.sum()),
        num_unasked=len(image_of) - len(known),
        golden_cosine=golden,
    )


def taught_on(held: HeldOut, catalogue: Collection[str], held_out_then: Collection[str]) -> np.ndarray:
    """bool (N,): items of an owner of whom the release's catalogue had an item that it did not hold out, so that it may have learnt
    from it."""
    learnt_from = set(catalogue) - set(held_out_then)
    owners = {owner for item, owner in zip(held.item_id, held.owner, strict=True) if item in learnt_from}
    return np.array([owner in owners for owner in held.owner], bool)


def _answers(
    reference: pa.Table, wanted: Collection[str], images: Path, release: Path, cfg: StableConfig, store: ObjectStore
) -> tuple[Answers, float | None]:
    """Answers by image_id, those written down in the bundle first, and the golden cosine where the tower had to be opened."""
    answers = _written_down(reference, wanted)
    new = set(wanted) - set(answers)
    if not new:
        return answers, None
    tower = ImageTower.open(release, cfg.threads)
    golden = tower.golden_cosine(release / GOLDEN)
    if golden < cfg.min_golden_cosine:
        log.warning("evaluate: the stable release's golden photos come back at cosine %.4f: it is not asked about new photos", golden)
        return answers, golden
    return answers | _asked(tower, images, new, store, release.name), golden


def _written_down(reference: pa.Table, wanted: Collection[str]) -> Answers:
    table = reference.filter(pc.is_in(reference["image_id"], pa.array(sorted(wanted), pa.string())))
    values = zip(table["image_id"].to_pylist(), vectors_of(table["vector"], DRIFT_REFERENCE), table["image_score"].to_pylist(), strict=True)
    return {image: (vector, score) for image, vector, score in values}


@dataclass(frozen=True)
class ImageTower:
    """The image tower of a release, fed with photos as this code prepares them, whichever components/images.py it was made with."""

    side_px: int
    session: onnxruntime.InferenceSession
    calibrator: Calibrator

    @classmethod
    def open(cls, release: Path, threads: int) -> "ImageTower":
        """The tower of the bundle in that folder."""
        side_px = json.loads((release / SERVING).read_text(encoding="utf-8"))["image_px"]
        return cls(side_px, open_session(release / IMAGE_GRAPH, threads), Calibrator.read(release / CALIBRATOR))

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, D) float16 unit vectors and (B,) float32 scores, as `embed` keeps them, from uint8 (B, side, side, 3)."""
        vector_BD, raw_B = self.session.run(None, {"pixels": normalise(pixels)})
        return vector_BD.astype(np.float16), self.calibrator(raw_B)

    def golden_cosine(self, golden: Path) -> float:
        """The lowest cosine of a golden photo's vector now to the one it had: 1 where nothing changed, 0 where a photo is refused now."""
        table = pq.read_table(golden, columns=["data", "vector"])
        try:
            now_BD = np.concatenate([self(squares([data], self.side_px))[0] for data in table["data"].to_pylist()])
        except BadPicture:
            return 0.0
        return float((_unit(now_BD) * vectors_of(table["vector"], GOLDEN)).sum(axis=1).min())


def _asked(tower: ImageTower, images: Path, wanted: Collection[str], store: ObjectStore, digest: str) -> Answers:
    """What the tower says of these photos, by image_id. Each is kept in the work cache and asked about once."""
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    cache = WorkCache(store, "evaluate-stable", {"release": digest, "code": code, "images": images_digest()})
    found: Answers = {}
    paths = shard_paths(images)
    for path in track(paths, len(paths), "stable release, shards"):
        with cache.pack(path.stem) as pack:
            kept = {image: pack.get(image) for image in _ids_in(path, set(wanted) - set(found))}
            for image, value in _embedded(tower, path, [image for image in kept if kept[image] is None]):
                pack.put(image, value)
            found |= {image: _unpacked(pack.entries[image]) for image in kept}
    cache.close()
    return found


def _ids_in(path: Path, wanted: Collection[str]) -> list[str]:
    return sorted(set(pq.read_table(path, columns=["image_id"])["image_id"].to_pylist()) & set(wanted))


def _embedded(tower: ImageTower, path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The vector's bytes, then the score's four, for each photo of the shard that is wanted."""
    table = pq.read_table(path, columns=["image_id", "data"], filters=pc.field("image_id").isin(pa.array(wanted, pa.string())))
    rows = [(row["image_id"], row["data"]) for row in table.to_pylist()]
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    for batch, pixels in ahead((batch, squares([data for _, data in batch], tower.side_px)) for batch in batches):
        for (image, _), vector, score in zip(batch, *tower(pixels), strict=True):
            yield image, vector.tobytes() + score.tobytes()


def _unpacked(value: bytes) -> tuple[np.ndarray, float]:
    return _unit(np.frombuffer(value[:-4], np.float16)[None])[0], float(np.frombuffer(value[-4:], np.float32)[0])


def _unit(vector_BD: np.ndarray) -> np.ndarray:
    wide_BD = vector_BD.astype(np.float32)
    length_B1 = np.linalg.norm(wide_BD, axis=1, keepdims=True)
    return np.asarray(wide_BD / np.where(length_B1 > 0, length_B1, 1.0), np.float32)
