"""The edge of `reference`, the last stage: the drift reference, the golden answers, and the bundle, its manifest last."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from components import bundle as layout
from components.calibrator import ANCHORS, CALIBRATOR
from components.contract import AllParams, Config, In, Out, Summary
from components.manifest import folder_digest, write_manifest
from components.photos import read_items, read_photos
from components.reference.card import model_card
from components.schema import drift_reference, golden, golden_titles
from components.shards import read_shards, write_table
from components.towers import IMAGE_GRAPH, SERVING, TEXT_GRAPH, TOKENIZER, Towers

EXPORTED = (IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, SERVING, CALIBRATOR, ANCHORS)
PLACES = {"ingest": "path", "evaluate": "external_vectors"}
LISTING_COLUMNS = ["item_id", "image_id", "category", "seller_id", "title_language", "app_version", "price"]


class ReferenceConfig(Config):
    """How many photos and titles the golden answers hold."""

    num_golden_photos: int = Field(ge=1)
    num_golden_titles: int = Field(ge=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceSummary(Summary):
    """Rows are held-out items. `bundle` is the manifest's sha256, which names the bundle."""

    bundle: str
    fingerprint: str
    promote: bool
    num_files: int
    num_bytes: int


def reference(
    exported: In,
    embeddings: In,
    index: In,
    listings: In,
    images: In,
    splits: In,
    verdict: In,
    bundle: Out,
    *,
    cfg: ReferenceConfig,
    params: AllParams,
) -> ReferenceSummary:
    """The bundle: towers, scale, index, drift reference, golden answers and card, sealed by a manifest with every file's digest."""
    bundle.mkdir(parents=True)
    for name in EXPORTED:
        shutil.copy2(exported / name, bundle / name)
    shutil.copytree(index, bundle / layout.INDEX_FOLDER)
    num_items = _write_drift_reference(embeddings, listings, images, splits, bundle)
    _write_golden(exported, listings, images, splits, bundle, cfg)
    judged: dict[str, Any] = json.loads(verdict.read_text(encoding="utf-8"))
    serving = json.loads((exported / SERVING).read_text(encoding="utf-8"))
    facts = {
        "fingerprint": serving["fingerprint"],
        "serving": serving,
        "data": {path.name: folder_digest(path) for path in (listings, images, splits)},
        "params": _without_places(params),
        "metrics": {k: v for k, v in judged.items() if k not in ("promote", "reasons")},
        "promote": judged["promote"],
        "reasons": judged["reasons"],
    }
    (bundle / layout.MODEL_CARD).write_text(model_card(facts, num_items), encoding="utf-8")
    digest = write_manifest(bundle, facts)
    files = [p for p in bundle.rglob("*") if p.is_file()]
    return ReferenceSummary(
        rows_in=num_items,
        rows_out=num_items,
        bundle=digest,
        fingerprint=serving["fingerprint"],
        promote=judged["promote"],
        num_files=len(files),
        num_bytes=sum(p.stat().st_size for p in files),
    )


def _without_places(params: AllParams) -> dict[str, Any]:
    """The params less where data lay, which is no part of what the bundle is."""
    return {name: {k: v for k, v in section.items() if k != PLACES.get(name)} for name, section in params.items()}


def _write_drift_reference(embeddings: Path, listings: Path, images: Path, splits: Path, bundle: Path) -> int:
    """Writes what monitoring compares production with: test items with vectors, scores, input statistics and segments."""
    held_out = {row["item_id"] for row in read_shards(splits).to_pylist() if row["split"] == "test"}
    listed = {row["item_id"]: row for row in read_shards(listings, LISTING_COLUMNS).to_pylist() if row["item_id"] in held_out}
    pictures = {row["image_id"]: row for row in read_shards(images, ["image_id", "width", "height", "stats"]).to_pylist()}
    table = read_shards(embeddings)
    table = table.filter(pa.compute.is_in(table["item_id"], value_set=pa.array(sorted(held_out), pa.string()))).sort_by("item_id")
    rows = [listed[item_id] | pictures[listed[item_id]["image_id"]] for item_id in table["item_id"].to_pylist()]
    schema = drift_reference(table.schema.field("vector").type.list_size)
    for name in schema.names:
        if name not in table.schema.names:
            values = [row["stats"][name] if name in row["stats"] else row[name] for row in rows]
            table = table.append_column(name, pa.array(values, schema.field(name).type))
    write_table(bundle / layout.DRIFT_REFERENCE, table, schema)
    return len(rows)


def _write_golden(exported: Path, listings: Path, images: Path, splits: Path, bundle: Path, cfg: ReferenceConfig) -> None:
    """Writes photos and titles with the answers that this export gives one at a time; a server is ready when it gives the same."""
    towers, items = Towers.open(exported, threads=1), read_items(listings, splits, ["train", "val"])
    photos = sorted(set(items.image_ids))[: cfg.num_golden_photos]
    data = read_photos(images, photos)
    answers = [towers.embed_picture(data[i]) for i in photos]
    dim = towers.serving.dim
    columns: dict[str, Any] = {
        "image_id": pa.array(photos, pa.string()),
        "data": pa.array([data[i] for i in photos], pa.binary()),
        "vector": _vectors([vector for vector, _ in answers], dim),
        "image_score": pa.array([score for _, score in answers], pa.float32()),
    }
    write_table(bundle / layout.GOLDEN, pa.table(columns), golden(dim))
    titles = sorted(set(items.titles))[: cfg.num_golden_titles]
    text = {"title": pa.array(titles, pa.string()), "vector": _vectors(list(towers.embed_titles(titles)), dim)}
    write_table(bundle / layout.GOLDEN_TITLES, pa.table(text), golden_titles(dim))


def _vectors(rows: list[np.ndarray], dim: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(rows).astype(np.float32)), dim)
