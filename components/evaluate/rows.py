"""The rows of the encoder's table: the served model, and what it is compared with."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.errors import BadBundle
from components.evaluate.baselines import file_row, random_row, row_of
from components.evaluate.held_out import HeldOut
from components.evaluate.pictures import read_histograms
from components.evaluate.rankings import Exact, Searcher, Served, recall_at
from components.evaluate.relevance import codes_of
from components.evaluate.table import MODEL, Row
from components.objects import ObjectStore


def served_row(held: HeldOut, index: Searcher, fingerprint: str) -> Row:
    """The model's row: served vectors, ranked by the served index. Raises BadBundle where the index is of another model or items."""
    if index.fingerprint != fingerprint:
        raise BadBundle(f"the index is of {index.fingerprint}, the exported model is {fingerprint}: run `dvc repro index`")
    row_of_item = {item: row for row, item in enumerate(index.item_ids)}
    if missing := [item for item in held.item_id if item not in row_of_item]:
        raise BadBundle(f"the index lacks {len(missing)} of {len(held.item_id)} held-out items, first {missing[0]}: run `dvc repro index`")
    row_N = np.array([row_of_item[item] for item in held.item_id], np.int64)
    return Row(MODEL, held.vector_ND, Served(index, row_N, held.vector_ND), np.ones(len(row_N), bool))


def index_recall(held: HeldOut, model: Row) -> float | None:
    """Share of the five nearest items of other owners, by exact cosine, that the served index finds: what approximate search costs."""
    query_Q, owner_N = np.arange(len(held.item_id)), codes_of(held.owner)
    exact_QK = Exact(held.vector_ND).rank(query_Q, owner_N, model.present_N)
    return recall_at(5, model.ranker.rank(query_Q, owner_N, model.present_N), exact_QK)


def baseline_rows(held: HeldOut, images: Path, untrained_vectors: Path, seed: int, store: ObjectStore) -> list[Row]:
    """The model before training, colours alone, and chance."""
    by_image = read_histograms(images, set(held.image_id), store)
    by_item = {item: by_image[image] for item, image in zip(held.item_id, held.image_id, strict=True) if image in by_image}
    untrained = file_row("untrained", untrained_vectors, held.item_id)
    return [untrained, row_of("color_histogram", held.item_id, by_item), random_row(len(held.item_id), seed)]


def external_rows(held: HeldOut, paths: Sequence[str], snapshot: Path) -> list[Row]:
    """A row for each file of vectors made elsewhere; those that the snapshot pins must still be the same."""
    pinned = json.loads(snapshot.read_text(encoding="utf-8")).get("source", {}).get("external_vectors", {})
    return [file_row(Path(path).stem, Path(path), held.item_id, pinned.get(Path(path).name)) for path in paths]
