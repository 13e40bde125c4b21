"""The edge of `finetune`: photos and titles of the train side in, an encoder out.

One process or several train it (components/finetune/world.py). Rank 0 is the stage; the others take part and write nothing.
"""

import dataclasses
import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedTokenizerBase

from components.checkpoint import Progress
from components.contract import Config, In, Out, Summary, bind, code_digest, path_of, read_params, when_placed, write_curve
from components.errors import BadData, BadEnvironment, BadWorkspace
from components.finetune.batches import TrainSet
from components.finetune.config import TrainConfig
from components.finetune.place import Place
from components.finetune.start import ScratchConfig, start_model
from components.finetune.train import train
from components.finetune.world import SharedCheckpoints, World, joined
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
    place = Place.of(os.environ)
    if place.rank:
        raise BadEnvironment(f"RANK = {place.rank}: only rank 0 runs the stage; start each process with `vitrine train-node`")
    _make_repeatable(cfg.train.threads)
    with joined(place, cfg.train.rank_timeout_s, cfg.train.threads) as world:
        done = _trained(listings, images, splits, cfg, store or default_store(), world)
    _save(done, encoder)
    _write_vectors(done.untrained, [done.sides["val"], done.sides["test"]], untrained_vectors)
    write_curve(finetune_curve, ["epoch", "train_loss", "val_ndcg_at_5"], done.progress.curve)
    progress = done.progress
    return FinetuneSummary(
        rows_in=len(done.sides["train"]),
        rows_out=len(done.sides["train"]),
        start=cfg.start,
        num_parameters=sum(p.numel() for p in done.model.parameters()),
        num_epochs=len(progress.curve),
        best_epoch=progress.best_epoch if progress.best else None,
        train_loss=progress.curve[-1]["train_loss"],
        untrained_val_ndcg_at_5=done.untrained_val,
        val_ndcg_at_5=progress.best_value if progress.best else None,
    )


def take_part() -> None:
    """Trains along with rank 0 on the workspace's own data and params, which must be equal to those of rank 0, and writes nothing.

    Raises BadWorkspace where they are not, RankLost where another process is gone.
    """
    params = read_params()
    cfg = bind(FinetuneConfig, "finetune", params)
    _make_repeatable(cfg.train.threads)
    with joined(Place.of(os.environ), cfg.train.rank_timeout_s, cfg.train.threads) as world:
        listings, images, splits = inputs = [path_of(name, params) for name in ("listings", "images", "splits")]
        if missing := [str(path) for path in inputs if not path.exists()]:
            raise BadWorkspace(f"finetune: rank {world.rank} lacks {', '.join(missing)}: `dvc pull` brings them from where rank 0 has them")
        _trained(listings, images, splits, cfg, default_store(), world)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model after its training. `untrained` is float32 vectors that it gave the validation and the test side before."""

    model: Encoder
    tokenizer: PreTrainedTokenizerBase
    progress: Progress
    sides: Mapping[str, Items]
    untrained: list[np.ndarray]
    untrained_val: float | None


def _trained(listings: Path, images: Path, splits: Path, cfg: FinetuneConfig, store: ObjectStore, world: World) -> Trained:
    """The same on every rank but for the last bits of what each has computed by itself."""
    sides = {side: read_items(listings, splits, [side]) for side in ("train", "val", "test")}
    if len(sides["train"]) < MIN_TRAIN_ITEMS:
        raise BadData(f"finetune: {len(sides['train'])} items on the train side, {MIN_TRAIN_ITEMS} are needed; see reports/split.json")
    key = _run_key(cfg, sides)
    _check_equal(key, world)
    photos = read_photos(images, [i for side in sides.values() for i in side.image_ids])
    model, tokenizer = start_model(cfg.start, cfg.scratch, sides["train"].titles, cfg.train.seed)
    model.to(world.device)  # type: ignore[arg-type]
    untrained = [_embed(model, sides[side], photos, world) for side in ("val", "test")]
    checkpoints = SharedCheckpoints(store, f"finetune/{key}.checkpoint", world)
    data = _train_set(sides["train"], photos, images, model, tokenizer)
    val = sides["val"]
    progress = train(
        model,
        data,
        cfg.train,
        validate=lambda m: _ndcg(_embed(m, val, photos, world), val, world),
        checkpoints=checkpoints,
        world=world,
    )
    when_placed(checkpoints.forget)
    return Trained(model, tokenizer, progress, sides, untrained, _ndcg(untrained[0], val, world))


def _check_equal(key: str, world: World) -> None:
    """Raises BadWorkspace where this rank would train on something else than rank 0."""
    if key.encode() != world.from_first(key.encode()):
        raise BadWorkspace(
            f"finetune: rank {world.rank} has other data, params or code than rank 0. Every process needs one commit and one dvc.lock: "
            "check out rank 0's, and `dvc pull`"
        )


def _make_repeatable(threads: int) -> None:
    """Equal inputs give equal weights on a CPU. On a GPU the deterministic kernels are taken where there are such, and no TF32, whose
    products keep 10 bits of 23: `precision` says what is rounded, nothing else."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when a process first uses a GPU
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _run_key(cfg: FinetuneConfig, sides: dict[str, Items]) -> str:
    """What decides a run's outcome: data, params and code. A checkpoint is used again only where all three are equal."""
    deciding = cfg.model_dump_json(exclude={"train": {"rank_timeout_s"}})
    digest = hashlib.sha256(f"{deciding}\n{code_digest('finetune')}\n".encode())
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
def _embed(model: Encoder, items: Items, photos: Mapping[str, bytes], world: World) -> np.ndarray:
    """float32 (N, D), unit length, in the order of items; the batches are dealt out to the ranks."""
    model.train(False)
    found, ordered = np.zeros((len(items), model.width), np.float32), InOrder(photos, items.image_ids)
    starts = range(0, len(items), EMBED_BATCH)[world.rank :: world.size]
    batches = ahead(normalise(squares(ordered[start : start + EMBED_BATCH], model.image_px)) for start in starts)
    for start, pixels in zip(starts, batches, strict=True):
        found[start : start + EMBED_BATCH] = image_vectors(model, torch.from_numpy(pixels).to(world.device)).cpu().numpy()
    return world.summed(found)


def _ndcg(vectors: np.ndarray, items: Items, world: World) -> float | None:
    """Of rank 0, which decides; None on the others."""
    return category_ndcg_at_5(vectors, items.categories, items.owners) if world.is_first else None


def _write_vectors(vectors: list[np.ndarray], sides: list[Items], path: Path) -> None:
    """Writes (item_id, vector) of the items of the sides, as float16."""
    values = np.concatenate(vectors).astype(np.float16)
    item_ids = [i for side in sides for i in side.item_ids]
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    write_table(path, pa.table({"item_id": pa.array(item_ids, pa.string()), "vector": column}), vectors_schema(values.shape[1]))


def _save(done: Trained, folder: Path) -> None:
    done.model.cpu().save_pretrained(folder)
    done.tokenizer.save_pretrained(folder)
