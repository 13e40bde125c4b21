"""The edge of `export`: encoder and head in, the two ONNX towers that are served out, compared with torch on real photos."""

import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from components import images as pictures
from components.calibrator import ANCHORS, CALIBRATOR
from components.contract import Config, In, Out, Summary
from components.errors import BadBundle
from components.export.graphs import ImageGraph, TextGraph, export_image, export_text, private_trunk
from components.export.projection import fit_projection, kept_share
from components.export.quantise import quantise
from components.fingerprint import fingerprint
from components.head import TRUNK, load_head
from components.photos import Items, read_items, read_photos, squares
from components.retrieval import category_ndcg_at_5
from components.siglip import Encoder, image_vectors, load_encoder, load_tokenizer, text_vectors, tokenise
from components.towers import IMAGE_GRAPH, SERVING, TEXT_GRAPH, TOKENIZER, Serving, Towers, open_session

log = logging.getLogger("vitrine")

INT8_GRAPH = "image.int8.onnx"
PARITY_BATCHES = (1, 2, 7)
BATCH = 32


class ExportConfig(Config):
    """`dim` is the served width. `max_difference` bounds |onnx - torch| of any value of an embedding or score."""

    dim: int = Field(ge=2)
    serving_precision: Literal["fp32", "int8"]
    max_difference: float = Field(gt=0)
    num_projection_items: int = Field(ge=1)
    num_calibration_photos: int = Field(ge=1)
    num_parity_titles: int = Field(ge=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportSummary(Summary):
    """Differences are the largest absolute ones. nDCG@5 is of category relevance among validation photos, null without such pairs.

    `projection_kept_share` is the share of squared length kept, `int8_min_cosine` the worst photo's agreement of int8 with fp32.
    """

    fingerprint: str
    dim: int
    serving_precision: str
    max_difference_by_batch: dict[str, float]
    max_text_difference: float
    projection_kept_share: float
    ndcg_at_5_before_projection: float | None
    ndcg_at_5_fp32: float | None
    ndcg_at_5_int8: float | None
    int8_min_cosine: float
    num_graph_bytes_fp32: int
    num_graph_bytes_int8: int


def export(encoder: In, score_head: In, listings: In, images: In, splits: In, exported: Out, *, cfg: ExportConfig) -> ExportSummary:
    """Both towers as ONNX, in the precision that is served, with the facts that callers need.

    The projection is fitted on train and validation items alone. Raises BadBundle where a graph's answers differ from torch's by more
    than the bound at batches of 1, 2 or 7 photos, or where the tokenizer file does not give the tokenizer's ids.
    """
    exported.mkdir(parents=True)
    model, tokenizer = load_encoder(encoder), load_tokenizer(encoder)
    train, val = (read_items(listings, splits, [side]) for side in ("train", "val"))
    photos = read_photos(images, [*train.image_ids, *val.image_ids])
    val_vectors, projection = _projection(model, tokenizer, _spread(train, cfg.num_projection_items), val, photos, cfg.dim)
    graph, text = _graphs(model, score_head, projection)
    calibration = _spread(train, cfg.num_calibration_photos)
    export_image(graph, model.image_px, exported / IMAGE_GRAPH)
    export_text(text, model.max_tokens, exported / TEXT_GRAPH)
    by_batch = _parity(graph, exported / IMAGE_GRAPH, _pixels(calibration, photos, model.image_px), cfg.max_difference)
    quantise(exported / IMAGE_GRAPH, exported / INT8_GRAPH, _pixels(calibration, photos, model.image_px))
    precisions = _compared(exported, val, photos, model.image_px)
    serving = _write_serving(exported, model, tokenizer, projection, cfg)
    for name in (CALIBRATOR, ANCHORS):
        shutil.copy2(score_head / name, exported / name)
    _keep_one_precision(exported, cfg.serving_precision)
    return ExportSummary(
        rows_in=len(train) + len(val),
        rows_out=len(train) + len(val),
        fingerprint=serving.fingerprint,
        dim=serving.dim,
        serving_precision=cfg.serving_precision,
        max_difference_by_batch=by_batch,
        max_text_difference=_text_parity(text, tokenizer, exported, train.titles[: cfg.num_parity_titles], cfg.max_difference),
        projection_kept_share=kept_share(val_vectors, projection),
        ndcg_at_5_before_projection=category_ndcg_at_5(val_vectors, val.categories, val.owners),
        **precisions,
    )


def _projection(
    model: Encoder, tokenizer: PreTrainedTokenizerBase, sample: Items, val: Items, photos: Mapping[str, bytes], dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Validation photos' vectors (N, D), and the projection (D, K) fitted on them, on sampled train photos and on train titles."""
    val_vectors = _torch_vectors(model, val, photos)
    fitted_on = [_torch_vectors(model, sample, photos), val_vectors, _title_vectors(model, tokenizer, sample.titles)]
    return val_vectors, fit_projection(np.concatenate(fitted_on), dim)


def _graphs(model: Encoder, score_head: Path, projection: np.ndarray) -> tuple[ImageGraph, TextGraph]:
    """Both towers as torch modules of what will be served."""
    head = load_head(score_head)
    own = private_trunk(model, safetensors.torch.load_file(score_head / TRUNK)) if head.shape.own_trunk else None
    image, text = ImageGraph(model, head, own, torch.from_numpy(projection)), TextGraph(model, torch.from_numpy(projection))
    image.train(False)
    text.train(False)
    return image, text


def _compared(folder: Path, val: Items, photos: Mapping[str, bytes], image_px: int) -> dict[str, Any]:
    """What int8 costs on validation photos: retrieval of both precisions, the worst photo's cosine, and the sizes."""
    fp32, int8 = (_graph_vectors(folder / name, val, photos, image_px) for name in (IMAGE_GRAPH, INT8_GRAPH))
    return {
        "ndcg_at_5_fp32": category_ndcg_at_5(fp32, val.categories, val.owners),
        "ndcg_at_5_int8": category_ndcg_at_5(int8, val.categories, val.owners),
        "int8_min_cosine": float((fp32 * int8).sum(axis=1).min(initial=1.0)),
        "num_graph_bytes_fp32": (folder / IMAGE_GRAPH).stat().st_size,
        "num_graph_bytes_int8": (folder / INT8_GRAPH).stat().st_size,
    }


def _keep_one_precision(folder: Path, precision: str) -> None:
    if precision == "int8":
        (folder / INT8_GRAPH).replace(folder / IMAGE_GRAPH)
    else:
        (folder / INT8_GRAPH).unlink()


def _spread(items: Items, count: int) -> Items:
    """At most `count` items, evenly spaced in order of item_id."""
    step = max(1, -(-len(items) // count))
    return Items(*(getattr(items, field.name)[::step] for field in dataclasses.fields(Items)))


def _pixels(items: Items, photos: Mapping[str, bytes], image_px: int) -> Iterator[np.ndarray]:
    for start in range(0, len(items), BATCH):
        yield pictures.normalise(squares([photos[i] for i in items.image_ids[start : start + BATCH]], image_px))


@torch.inference_mode()
def _torch_vectors(model: Encoder, items: Items, photos: Mapping[str, bytes]) -> np.ndarray:
    found = [image_vectors(model, torch.from_numpy(batch)).numpy() for batch in _pixels(items, photos, model.image_px)]
    return np.concatenate([np.zeros((0, model.width), np.float32), *found])


@torch.inference_mode()
def _title_vectors(model: Encoder, tokenizer: PreTrainedTokenizerBase, titles: list[str]) -> np.ndarray:
    max_tokens, unique = model.max_tokens, sorted(set(titles))
    found = [text_vectors(model, tokenise(tokenizer, unique[i : i + BATCH], max_tokens)).numpy() for i in range(0, len(unique), BATCH)]
    return np.concatenate(found)


def _graph_vectors(path: Path, items: Items, photos: Mapping[str, bytes], image_px: int) -> np.ndarray:
    session = open_session(path)
    found = [session.run(None, {"pixels": batch})[0] for batch in _pixels(items, photos, image_px)]
    return np.concatenate([np.zeros((0, session.get_outputs()[0].shape[1]), np.float32), *found])


@torch.inference_mode()
def _parity(graph: ImageGraph, path: Path, batches: Iterator[np.ndarray], limit: float) -> dict[str, float]:
    """Largest |onnx - torch| of embeddings and scores, by batch size."""
    session, pixels = open_session(path), next(batches)
    found = {}
    for size in PARITY_BATCHES:
        batch = np.resize(pixels, (size, *pixels.shape[1:]))
        pairs = zip(session.run(None, {"pixels": batch}), graph(torch.from_numpy(batch)), strict=True)
        found[str(size)] = max(float(np.abs(ours - theirs.numpy()).max()) for ours, theirs in pairs)
        if found[str(size)] > limit:
            raise BadBundle(f"export: at batch {size} the ONNX graph differs from torch by {found[str(size)]:.2g}, limit {limit:g}")
    return found


@torch.inference_mode()
def _text_parity(graph: TextGraph, tokenizer: PreTrainedTokenizerBase, exported: Path, titles: list[str], limit: float) -> float:
    towers = Towers.open(exported)
    ids = tokenise(tokenizer, titles, towers.serving.max_tokens)
    served = np.array([e.ids for e in towers.tokenizer.encode_batch(titles)])
    if wrong := [t for t, a, b in zip(titles, ids.numpy(), served, strict=True) if (a != b).any()]:
        raise BadBundle(f"export: {TOKENIZER} gives other tokens than the tokenizer that trained, first for {wrong[0]!r}")
    difference = float(np.abs(towers.embed_titles(titles) - graph(ids).numpy()).max())
    if difference > limit:
        raise BadBundle(f"export: the ONNX text tower differs from torch by {difference:.2g}, limit {limit:g}")
    return difference


def _write_serving(folder: Path, model: Encoder, tokenizer: PreTrainedTokenizerBase, projection: np.ndarray, cfg: ExportConfig) -> Serving:
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(name.encode() + tensor.contiguous().numpy().tobytes())
    serving = Serving(
        fingerprint=fingerprint(
            encoder=weights.hexdigest(),
            preprocessing=pictures.digest(),
            projection=hashlib.sha256(projection.tobytes()).hexdigest(),
            precision=cfg.serving_precision,
        ),
        dim=projection.shape[1],
        image_px=model.image_px,
        max_tokens=model.max_tokens,
        pad_id=int(tokenizer.pad_token_id),
        precision=cfg.serving_precision,
        preprocessing=pictures.digest(),
    )
    (folder / SERVING).write_text(json.dumps(dataclasses.asdict(serving), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return serving
