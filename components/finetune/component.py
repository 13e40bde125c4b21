"""The edge of `finetune`: photos and titles of the train side in, an encoder out."""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedTokenizerBase

from components.checkpoint import Checkpoints
from components.contract import Config, In, Out, Summary, code_digest, when_placed, write_curve
from components.errors import BadData
from components.finetune.start import ScratchConfig, start_model
from components.finetune.train import TrainConfig, TrainSet, train
from components.images import normalise
from components.objects import ObjectStore
from components.photos import InOrder, Items, ahead, read_items, read_photos, squares
from components.retrieval import category_ndcg_at_5
from components.schema import vectors as vectors_schema
from components.shards import read_shards, write_table
from components.siglip import Encoder, image_vectors, tokenise
from components.work_cache import default_store

log = logging.getLogger("vitrine")

EMBED_BATCH = 64
MIN_TRAIN_ITEMS = 8


class FinetuneConfig(Config):
    """`start` is "scratch", a folder, or a hub id such as google/siglip-base-patch16-256-multilingual."""

    start: str
    scratch: ScratchConfig
    train: TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneSummary(Summary):
    """`val_ndcg_at_5` is of the weights kept, from category relevance on the validation side; null where it cannot be measured."""

    start: str
    num_parameters: int
    num_epochs: int
    best_epoch: int | None
    train_loss: float
    untrained_val_ndcg_at_5: float | None
    val_ndcg_at_5: float | None


def finetune(
    validated_training: In,
    listings: In,
    images: In,
    splits: In,
    encoder: Out,
    untrained_vectors: Out,
    finetune_curve: Out,
    *,
    cfg: FinetuneConfig,
    store: ObjectStore | None = None,
) -> FinetuneSummary:
    """A SigLIP fine-tuned on the train side's photos and titles, as safetensors with its tokenizer.

    Also writes the vectors that the model gave held-out items before training, and the curve. Raises BadData where there is too
    little to train on. Goes on from the last checkpoint of a run with the same data, params and code. `validated_training` is not read:
    it is there so that nothing is trained before its gates have passed.
    """
    _make_repeatable(cfg.train.threads)
    sides = {side: read_items(listings, splits, [side]) for side in ("train", "val", "test")}
    if len(sides["train"]) < MIN_TRAIN_ITEMS:
        raise BadData(f"finetune: {len(sides['train'])} items on the train side, {MIN_TRAIN_ITEMS} are needed; see reports/split.json")
    photos = read_photos(images, [i for side in sides.values() for i in side.image_ids])
    model, tokenizer = start_model(cfg.start, cfg.scratch, sides["train"].titles, cfg.train.seed)
    before = _write_untrained(model, [sides["val"], sides["test"]], photos, untrained_vectors)
    data = _train_set(sides["train"], photos, images, model, tokenizer)
    checkpoints = Checkpoints(store or default_store(), f"finetune/{_run_key(cfg, sides)}.checkpoint")
    progress = train(model, data, cfg.train, validate=lambda m: _ndcg(m, sides["val"], photos), checkpoints=checkpoints)
    when_placed(checkpoints.forget)
    _save(model, tokenizer, encoder)
    write_curve(finetune_curve, ["epoch", "train_loss", "val_ndcg_at_5"], progress.curve)
    return FinetuneSummary(
        rows_in=len(sides["train"]),
        rows_out=len(sides["train"]),
        start=cfg.start,
        num_parameters=sum(p.numel() for p in model.parameters()),
        num_epochs=len(progress.curve),
        best_epoch=progress.best_epoch if progress.best else None,
        train_loss=progress.curve[-1]["train_loss"],
        untrained_val_ndcg_at_5=before,
        val_ndcg_at_5=progress.best_value if progress.best else None,
    )


def _make_repeatable(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def _run_key(cfg: FinetuneConfig, sides: dict[str, Items]) -> str:
    """What decides a run's outcome: data, params and code. A checkpoint is used again only where all three are equal."""
    digest = hashlib.sha256(f"{cfg.model_dump_json()}\n{code_digest('finetune')}\n".encode())
    for side in ("train", "val"):
        digest.update(repr(sides[side]).encode())
    return digest.hexdigest()


def _train_set(items: Items, photos: Mapping[str, bytes], images: Path, model: Encoder, tokenizer: PreTrainedTokenizerBase) -> TrainSet:
    table = read_shards(images, ["image_id", "phash"])
    phash_of = dict(zip(table["image_id"].to_pylist(), table["phash"].to_pylist(), strict=True))
    return TrainSet(
        photos=InOrder(photos, items.image_ids),
        titles=items.titles,
        tokens=tokenise(tokenizer, items.titles, model.max_tokens),
        products=items.products,
        phashes=np.array([phash_of[i] for i in items.image_ids], np.uint64),
    )


@torch.inference_mode()
def _embed(model: Encoder, items: Items, photos: Mapping[str, bytes]) -> np.ndarray:
    """float32 (N, D), unit length, in the order of items."""
    model.train(False)
    device, found = next(model.parameters()).device, [np.zeros((0, model.width), np.float32)]
    starts, ordered = range(0, len(items), EMBED_BATCH), InOrder(photos, items.image_ids)
    for pixels in ahead(normalise(squares(ordered[start : start + EMBED_BATCH], model.image_px)) for start in starts):
        found.append(image_vectors(model, torch.from_numpy(pixels).to(device)).cpu().numpy())
    return np.concatenate(found)


def _ndcg(model: Encoder, items: Items, photos: Mapping[str, bytes]) -> float | None:
    return category_ndcg_at_5(_embed(model, items, photos), items.categories, items.owners)


def _write_untrained(model: Encoder, sides: list[Items], photos: Mapping[str, bytes], path: Path) -> float | None:
    """Writes (item_id, vector) of the model before training, and returns its nDCG@5 on the first of the sides."""
    found = [_embed(model, side, photos) for side in sides]
    vectors = np.concatenate(found).astype(np.float16)
    item_ids = [i for side in sides for i in side.item_ids]
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    write_table(path, pa.table({"item_id": pa.array(item_ids, pa.string()), "vector": column}), vectors_schema(vectors.shape[1]))
    return category_ndcg_at_5(found[0], sides[0].categories, sides[0].owners)


def _save(model: Encoder, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    model.cpu().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
