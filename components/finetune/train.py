"""The training loop, on accelerate: every draw follows from the seed and the step, so a resumed run ends with the same weights."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field
from torch import Tensor

from components.checkpoint import Checkpoints, Progress
from components.contract import Config
from components.finetune.augment import AugmentConfig, augment
from components.finetune.loss import same_thing, sigmoid_loss
from components.images import normalise
from components.photos import ahead, squares
from components.siglip import Encoder, image_vectors, text_vectors

log = logging.getLogger("vitrine")


class TrainConfig(Config):
    """How the encoder is trained. An epoch is a pass over the photos, or several where they are few: `min_steps_an_epoch` steps.

    `threads` is part of the result: sums over other numbers of threads round differently.
    """

    epochs: int = Field(ge=1)
    min_steps_an_epoch: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    text_learning_rate: float = Field(gt=0)
    temperature_learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_share: float = Field(ge=0, le=1)
    max_grad_norm: float = Field(gt=0)
    patience_epochs: int = Field(ge=1)
    duplicate_distance: int = Field(ge=0, le=64)
    freeze_text: bool
    precision: Literal["fp32", "bf16", "fp16"]
    checkpoint_every_steps: int = Field(ge=1)
    threads: int = Field(ge=1)
    seed: int
    augment: AugmentConfig


@dataclass(frozen=True)
class TrainSet:
    """The train side, one entry a pair: encoded photo, title and its tokens (N, T), product, phash (N,) uint64."""

    photos: Sequence[bytes]
    titles: list[str]
    tokens: Tensor
    products: list[str | None]
    phashes: np.ndarray


@dataclass(frozen=True)
class Batch:
    """B pairs, decoded."""

    step: int
    pixels_BCHW: Tensor
    tokens_BT: Tensor
    same_BB: Tensor


def train(
    model: Encoder, data: TrainSet, cfg: TrainConfig, *, validate: Callable[[Encoder], float | None], checkpoints: Checkpoints
) -> Progress:
    """How the run went, with `model` left at the weights of its best epoch by `validate` (higher is better).

    Where validate returns None there is nothing to choose by, and the last epoch's weights stay. A state in `checkpoints` is gone on from.
    """
    run = Run(model, data, cfg, checkpoints)
    if run.progress.step:
        log.info("finetune: going on at step %d of %d", run.progress.step, run.num_steps)
    for batch in ahead(run.batches()):
        run.learn(batch)
        if run.progress.step % run.steps_an_epoch == 0:
            run.end_epoch(validate(run.encoder()))
            if run.stopped_early():
                break
        elif run.progress.step % cfg.checkpoint_every_steps == 0:
            run.save()
    if run.progress.best:
        run.encoder().load_state_dict(run.progress.best)
    model.train(False)
    return run.progress


class Run:
    """One training run: the model and optimizer as accelerate prepared them, and where they stand."""

    def __init__(self, model: Encoder, data: TrainSet, cfg: TrainConfig, checkpoints: Checkpoints) -> None:
        self.accelerator = Accelerator(mixed_precision="no" if cfg.precision == "fp32" else cfg.precision)
        model.text_model.requires_grad_(not cfg.freeze_text)
        self.model, self.optimizer = self.accelerator.prepare(model, _optimizer(model, cfg))
        self.data, self.cfg, self.checkpoints = data, cfg, checkpoints
        self.image_px = model.image_px
        self.batch_size = min(cfg.batch_size, len(data.photos))
        self.steps_a_pass = len(data.photos) // self.batch_size
        self.steps_an_epoch = max(self.steps_a_pass, cfg.min_steps_an_epoch)
        self.num_steps = self.steps_an_epoch * cfg.epochs
        self.progress = checkpoints.resume(self.encoder(), self.optimizer)

    def encoder(self) -> Encoder:
        """The model itself, out of whatever accelerate wrapped it in."""
        encoder: Encoder = self.accelerator.unwrap_model(self.model)
        return encoder

    def batches(self) -> Iterator[Batch]:
        """The batches still to come, in the order that seed and pass give."""
        if self.stopped_early():
            return
        for step in range(self.progress.step, self.num_steps):
            over, number = divmod(step, self.steps_a_pass)
            order = np.random.default_rng([self.cfg.seed, over]).permutation(len(self.data.photos))
            yield self._batch(step, order[number * self.batch_size : (number + 1) * self.batch_size])

    def _batch(self, step: int, rows: np.ndarray) -> Batch:
        data = self.data
        pixels = torch.from_numpy(normalise(squares([data.photos[r] for r in rows], self.image_px)))
        pixels = augment(pixels, self.cfg.augment, torch.Generator().manual_seed(self.cfg.seed * 1_000_003 + step))
        titles, products = [data.titles[r] for r in rows], [data.products[r] for r in rows]
        same = same_thing(titles, products, data.phashes[rows], self.cfg.duplicate_distance)
        return Batch(step, pixels, data.tokens[torch.from_numpy(rows)], torch.from_numpy(same))

    def learn(self, batch: Batch) -> None:
        """One step of gradient descent."""
        model, device = self.encoder(), self.accelerator.device
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * _rate_share(batch.step, self.num_steps, self.cfg.warmup_share)
        with self.accelerator.autocast():
            z_img_BD = image_vectors(model, batch.pixels_BCHW.to(device))
            z_txt_BD = text_vectors(model, batch.tokens_BT.to(device))
        loss = sigmoid_loss(z_img_BD.float(), z_txt_BD.float(), model.logit_scale, model.logit_bias, batch.same_BB.to(device))
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.cfg.max_grad_norm)
        self.optimizer.step()
        self.progress.step = batch.step + 1
        self.progress.loss_sum += float(loss.detach())

    def end_epoch(self, value: float | None) -> None:
        """Notes the epoch on the curve, keeps its weights where they are the best so far, and saves."""
        progress, epoch = self.progress, self.progress.step // self.steps_an_epoch
        loss = progress.loss_sum / self.steps_an_epoch
        progress.loss_sum = 0.0
        progress.curve.append({"epoch": epoch, "train_loss": loss} | ({} if value is None else {"val_ndcg_at_5": value}))
        if value is not None and value > progress.best_value:
            progress.best_value, progress.best_epoch = value, epoch
            progress.best = {k: v.detach().cpu().clone() for k, v in self.encoder().state_dict().items()}
        shown = "" if value is None else f", validation nDCG@5 {value:.3f}"
        log.info("finetune: epoch %d/%d, loss %.3f%s", epoch, self.cfg.epochs, loss, shown)
        self.save()

    def stopped_early(self) -> bool:
        """True once `patience_epochs` epochs have passed without a better one."""
        since_best = self.progress.step // self.steps_an_epoch - self.progress.best_epoch
        return bool(self.progress.best) and since_best >= self.cfg.patience_epochs

    def save(self) -> None:
        """Makes everything up to this step survive a kill."""
        self.checkpoints.save(self.encoder(), self.optimizer, self.progress)


def _optimizer(model: Encoder, cfg: TrainConfig) -> torch.optim.AdamW:
    """AdamW; matrices decay, biases and gains do not. Each tower and the two temperature scalars learn at rates of their own."""
    temperature = [model.logit_scale, model.logit_bias]
    towers = ((model.vision_model, cfg.learning_rate), (model.text_model, cfg.text_learning_rate))
    groups = [{"params": temperature, "weight_decay": 0.0, "peak_lr": cfg.temperature_learning_rate}]
    for tower, rate in towers:
        learning = [p for p in tower.parameters() if p.requires_grad]
        groups.append({"params": [p for p in learning if p.ndim > 1], "weight_decay": cfg.weight_decay, "peak_lr": rate})
        groups.append({"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0, "peak_lr": rate})
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=cfg.learning_rate, betas=(0.9, 0.95), fused=True)


def _rate_share(step: int, num_steps: int, warmup_share: float) -> float:
    """Share of the peak learning rate at `step`: a linear start, then half a cosine down to 0."""
    warmup = max(1, round(num_steps * warmup_share))
    return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / max(num_steps, 1))))
