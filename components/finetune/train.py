"""The training loop, on accelerate: every draw follows from the seed and the step, so a resumed run ends with the same weights.

Several processes take a batch's rows in equal shares and learn what one would: the loss is of all pairs, and so are batch statistics.

Shape suffixes: B pairs of a batch, b those of this process.
"""

import logging
import math
from collections.abc import Callable, Iterator

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from components.checkpoint import Checkpoints, Progress
from components.errors import BadParams
from components.finetune.batches import Batch, Batches, TrainSet
from components.finetune.config import TrainConfig
from components.finetune.loss import sigmoid_loss
from components.finetune.statistics import share_statistics
from components.finetune.world import World, alone
from components.photos import ahead
from components.siglip import Encoder, image_vectors, text_vectors

log = logging.getLogger("vitrine")


def train(
    model: Encoder,
    data: TrainSet,
    cfg: TrainConfig,
    *,
    validate: Callable[[Encoder], float | None],
    checkpoints: Checkpoints,
    world: World | None = None,
) -> Progress:
    """How the run went, with `model` left at the weights of its best epoch by `validate` (higher is better).

    Where validate returns None there is nothing to choose by, and the last epoch's weights stay. A state in `checkpoints` is gone on from.
    In a world of several processes all of them call this with equal arguments; what rank 0's `validate` says counts. Raises BadParams
    where they cannot share a batch equally, or the device cannot do the precision asked for.
    """
    run = Run(model, data, cfg, checkpoints, world or alone())
    if run.progress.step:
        run.say("finetune: going on at step %d of %d", run.progress.step, run.batches.num_steps)
    for batch in ahead(run.left()):
        run.learn(batch)
        if run.progress.step % run.batches.steps_an_epoch == 0:
            run.end_epoch(validate(model))
            if run.stopped_early():
                break
        elif run.progress.step % cfg.checkpoint_every_steps == 0:
            run.save()
    if run.progress.best:
        model.load_state_dict(run.progress.best)
    model.train(False)
    return run.progress


class TwoTowers(nn.Module):
    """Both towers behind one forward(): what mixed precision and distributed wrappers look after."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels_bCHW: Tensor, tokens_bT: Tensor) -> tuple[Tensor, Tensor]:
        """(b, D) unit vectors of photos and of titles."""
        return image_vectors(self.encoder, pixels_bCHW), text_vectors(self.encoder, tokens_bT)


class Run:
    """One training run: the model and optimizer as accelerate prepared them, and where they stand."""

    def __init__(self, model: Encoder, data: TrainSet, cfg: TrainConfig, checkpoints: Checkpoints, world: World) -> None:
        self.encoder, self.cfg, self.checkpoints, self.world = model, cfg, checkpoints, world
        self.batches = Batches(data, cfg, model.image_px, world)
        self.accelerator = _accelerator(cfg.precision, world)
        model.text_model.requires_grad_(not cfg.freeze_text)
        if world.size > 1:
            share_statistics(model, world)
        self.model, self.optimizer = self.accelerator.prepare(TwoTowers(model), _optimizer(model, cfg))
        self.losses: list[Tensor] = []
        self.progress = checkpoints.resume(model, self.optimizer)
        if self.accelerator.scaler and self.progress.scaler:
            self.accelerator.scaler.load_state_dict(self.progress.scaler)

    def left(self) -> Iterator[Batch]:
        """The batches still to come."""
        return iter(()) if self.stopped_early() else self.batches.following(self.progress.step)

    def learn(self, batch: Batch) -> None:
        """One step of gradient descent."""
        if self.world.size > 1:  # a checkpoint holds the state of one rank's dropout: here it follows from step and rank
            torch.manual_seed(self.batches.draw_seed(batch.step) * self.world.size + self.world.rank)
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * _rate_share(batch.step, self.batches.num_steps, self.cfg.warmup_share)
        loss = self._loss(batch)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.cfg.max_grad_norm)
        self.optimizer.step()
        self.progress.step = batch.step + 1
        self.losses.append(loss.detach())

    def _loss(self, batch: Batch) -> Tensor:
        """The mean over this process's images against every title; the mean of it over processes is the batch's."""
        z_img_bD, z_txt_bD = self.model(batch.pixels_bCHW, batch.tokens_bT)
        scale, bias = self.encoder.logit_scale, self.encoder.logit_bias
        return sigmoid_loss(z_img_bD.float(), self.world.gathered(z_txt_bD.float()), scale, bias, batch.alike.same, first=batch.first)

    def end_epoch(self, value: float | None) -> None:
        """Notes the epoch on the curve, keeps its weights where they are the best so far, and saves."""
        self._settle()
        progress, epoch, value = self.progress, self.progress.step // self.batches.steps_an_epoch, self.world.decided(value)
        loss = progress.loss_sum / self.batches.steps_an_epoch
        progress.loss_sum = 0.0
        progress.curve.append({"epoch": epoch, "train_loss": loss} | ({} if value is None else {"val_ndcg_at_5": value}))
        if value is not None and value > progress.best_value:
            progress.best_value, progress.best_epoch = value, epoch
            progress.best = {k: v.detach().cpu().clone() for k, v in self.encoder.state_dict().items()}
        shown = "" if value is None else f", validation nDCG@5 {value:.3f}"
        self.say("finetune: epoch %d/%d, loss %.3f%s", epoch, self.cfg.epochs, loss, shown)
        self.save()

    def stopped_early(self) -> bool:
        """True once `patience_epochs` epochs have passed without a better one; on all ranks at once, as the values are rank 0's."""
        since_best = self.progress.step // self.batches.steps_an_epoch - self.progress.best_epoch
        return bool(self.progress.best) and since_best >= self.cfg.patience_epochs

    def save(self) -> None:
        """Makes everything up to this step survive a kill."""
        self._settle()
        if self.accelerator.scaler:
            self.progress.scaler = self.accelerator.scaler.state_dict()
        self.checkpoints.save(self.encoder, self.optimizer, self.progress)

    def _settle(self) -> None:
        """Adds the losses since the last time to the progress. Read at each step they would make a GPU wait for every one."""
        if self.losses:
            for loss in self.world.summed(torch.stack(self.losses).double().cpu().numpy()) / self.world.size:
                self.progress.loss_sum += float(loss)
            self.losses.clear()

    def say(self, message: str, *arguments: object) -> None:
        """A line of the log, from one process."""
        if self.world.is_first:
            log.info(message, *arguments)


def _accelerator(precision: str, world: World) -> Accelerator:
    """Raises BadParams where the device cannot do the precision."""
    on_cpu = world.device.type == "cpu"
    try:
        return Accelerator(cpu=on_cpu, mixed_precision="no" if precision == "fp32" else precision)
    except ValueError as error:
        raise BadParams(f"finetune.train.precision = {precision!r} on {world.device}: {error}") from None


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
