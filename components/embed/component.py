"""The edge of `embed`: every listing's photo through the towers that are served, shard by shard."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from components import schema
from components.calibrator import CALIBRATOR
from components.contract import Config, In, Out, Summary, code_digest
from components.errors import BadBundle
from components.fingerprint import file_digest
from components.images import normalise
from components.objects import ObjectStore
from components.photos import ahead, squares
from components.progress import track
from components.shards import shard_paths, write_table
from components.towers import IMAGE_GRAPH, Towers
from components.work_cache import Pack, WorkCache, default_store

log = logging.getLogger("vitrine")


class EmbedConfig(Config):
    """`batch_size` is 1 where the served graph is int8 with scales found at run time; see docs/adr."""

    batch_size: int = Field(ge=1)
    threads: int = Field(ge=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedSummary(Summary):
    """`num_images` counts different pictures. The score's quantiles are of the calibrated Image Score in [0, 1]."""

    num_images: int
    fingerprint: str
    dim: int
    image_score_quantiles: dict[str, float]


def embed(exported: In, listings: In, images: In, embeddings: Out, *, cfg: EmbedConfig, store: ObjectStore | None = None) -> EmbedSummary:
    """A vector and a calibrated score for every listing, all of one fingerprint; a picture already embedded by this model is not
    embedded again."""
    towers = Towers.open(exported, threads=cfg.threads)
    identity = {
        "fingerprint": towers.serving.fingerprint,
        "graph": file_digest(exported / IMAGE_GRAPH),
        "calibrator": file_digest(exported / CALIBRATOR),
        "code": code_digest("embed"),
    }
    cache = WorkCache(store or default_store(), "embed", identity)
    scores, num_rows = [np.zeros(0, np.float32)], 0
    pictures: set[str] = set()
    paths = shard_paths(listings)
    for path in track(paths, len(paths), "embed: shard"):
        rows = pq.read_table(path, columns=["item_id", "image_id"])
        with cache.pack(path.stem) as pack:
            found = _embed_shard(towers, images / path.name, pack, cfg.batch_size)
        table = _table(rows, found, towers)
        write_table(embeddings / path.name, table, schema.embeddings(towers.serving.dim))
        scores.append(table["image_score"].to_numpy())
        pictures.update(found)
        num_rows += len(rows)
    cache.close()
    every = np.concatenate(scores)
    return EmbedSummary(
        rows_in=num_rows,
        rows_out=num_rows,
        num_images=len(pictures),
        fingerprint=towers.serving.fingerprint,
        dim=towers.serving.dim,
        image_score_quantiles={f"q{q:02d}": float(np.quantile(every, q / 100)) for q in (5, 25, 50, 75, 95)} if len(every) else {},
    )


def _embed_shard(towers: Towers, path: Path, pack: Pack, batch_size: int) -> dict[str, bytes]:
    """What the towers say of each picture of the shard, by image_id: the float16 vector's bytes, then the score's four."""
    rows = pq.read_table(path, columns=["image_id", "data"]).to_pylist()
    found = {row["image_id"]: pack.get(row["image_id"]) for row in rows}
    missing = [row for row in rows if found[row["image_id"]] is None]
    batches = [missing[i : i + batch_size] for i in range(0, len(missing), batch_size)]
    decoded = ahead((batch, squares([row["data"] for row in batch], towers.serving.image_px)) for batch in batches)
    for batch, pixels in decoded:
        vectors, scores = towers.embed_pixels(normalise(pixels))
        for row, vector, score in zip(batch, vectors.astype(np.float16), scores, strict=True):
            pack.put(row["image_id"], vector.tobytes() + score.tobytes())
    pack.flush()
    return {image_id: pack.entries[image_id] for image_id in found}


def _table(rows: pa.Table, found: dict[str, bytes], towers: Towers) -> pa.Table:
    dim, image_ids = towers.serving.dim, rows["image_id"].to_pylist()
    if lost := [i for i in image_ids if i not in found]:
        raise BadBundle(f"embed: {len(lost)} listings have no picture in their shard, first {lost[0]}; run `dvc repro ingest`")
    values = [found[i] for i in image_ids]
    vectors = np.frombuffer(b"".join(v[: 2 * dim] for v in values), np.float16)
    scores = np.frombuffer(b"".join(v[2 * dim :] for v in values), np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim)
    names = pa.array([towers.serving.fingerprint] * len(rows), pa.string())
    return rows.append_column("fingerprint", names).append_column("vector", column).append_column("image_score", pa.array(scores))
