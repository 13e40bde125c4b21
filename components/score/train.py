"""Teaching the head from votes: the pairwise focal loss, on a trunk that stays as it is or on a copy of its own.

What a step draws follows from the seed and the step, and dropout from a state that checkpoints hold: a resumed run ends with the same
weights.

Shape suffixes: P votes, F features, N photos.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from transformers import SiglipVisionModel

from components.checkpoint import Checkpoints, Progress
from components.contract import Config
from components.head import HeadShape, ScoreHead, features, layers_of
from components.images import normalise
from components.metrics import ordered_pair_accuracy
from components.photos import ahead, squares
from components.progress import track

log = logging.getLogger("vitrine")

EMBED_BATCH = 64


class HeadConfig(Config):
    """How the head is taught on the shared trunk. A gamma of 0 makes the focal loss the plain logistic one. Checkpoints are for both."""

    layers: list[int] = Field(min_length=1)
    hidden: int = Field(gt=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    focal_gamma: float = Field(ge=0)
    checkpoint_every_steps: int = Field(ge=1)


class OwnTrunkConfig(Config):
    """When the head gets a trunk of its own, and how that learns. auto: where the shared one costs more than max_opa_cost of
    validation OPA."""

    when: Literal["auto", "never", "always"]
    max_opa_cost: float = Field(ge=0, le=1)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)


@dataclass(frozen=True)
class Lessons:
    """Votes as row numbers into a list of photos: int64 (P, 2), better first."""

    train_P2: np.ndarray
    val_P2: np.ndarray


@dataclass
class Taught:
    """A head with the weights of its best epoch. `val_opa` is None where there are no votes to measure it on."""

    head: ScoreHead
    trunk: SiglipVisionModel | None
    val_opa: float | None
    curve: list[dict[str, float]] = field(default_factory=list)


def focal_pair_loss(better_P: Tensor, worse_P: Tensor, gamma: float) -> Tensor:
    """Mean of -(1 - p)^gamma log p over votes, p = sigmoid(better - worse), lower is better.

    The focal loss (Lin et al. 2017, eq. 4) on the pairwise logistic model: votes already won by far weigh little.
    """
    log_p_P = logsigmoid(better_P - worse_P)
    return -((1 - log_p_P.exp()) ** gamma * log_p_P).mean()


def votes_won(score_N: np.ndarray, votes_P2: np.ndarray) -> float | None:
    """OPA in [0, 1] of scores on votes; None without votes."""
    return float(ordered_pair_accuracy(score_N[votes_P2[:, 0]], score_N[votes_P2[:, 1]]).mean()) if len(votes_P2) else None


@torch.no_grad()
def read_features(trunk: SiglipVisionModel, photos: list[bytes], side_px: int, layers: list[int]) -> Tensor:
    """(N, F) features of photos by a trunk in eval mode, on the trunk's device."""
    trunk.eval()
    starts = range(0, len(photos), EMBED_BATCH)
    batches = ahead(squares(photos[start : start + EMBED_BATCH], side_px) for start in starts)
    shown = track(batches, len(starts), "score: photos read, batch")
    return torch.cat([features(layers_of(trunk, _pixels(batch, trunk)), layers) for batch in shown])


def _pixels(batch: np.ndarray, trunk: SiglipVisionModel) -> Tensor:
    return torch.from_numpy(normalise(batch)).to(trunk.device)


def teach_on_shared_trunk(
    feature_NF: Tensor, lessons: Lessons, shape: HeadShape, cfg: HeadConfig, seed: int, *, checkpoints: Checkpoints
) -> Taught:
    """A head on features of a trunk that does not change, on their device."""
    torch.manual_seed(seed)
    head = ScoreHead(shape).to(feature_NF.device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=cfg.learning_rate, weight_decay=cfg.weight_decay)

    def learn(votes_P2: np.ndarray) -> Tensor:
        return _loss(head(feature_NF[torch.from_numpy(votes_P2)].flatten(0, 1)), cfg)

    def opa() -> float | None:
        return _opa_of(head, feature_NF, lessons.val_P2)

    course = Course(lessons.train_P2, cfg.batch_size, cfg.epochs, seed, cfg.checkpoint_every_steps)
    return _teach(Taught(head, None, None), optimizer, course, learn, opa, checkpoints)


def teach_on_own_trunk(
    trunk: SiglipVisionModel,
    photos: list[bytes],
    side_px: int,
    lessons: Lessons,
    head: ScoreHead,
    cfg: HeadConfig,
    own_cfg: OwnTrunkConfig,
    seed: int,
    *,
    checkpoints: Checkpoints,
) -> Taught:
    """`head`, taught further on a copy of the trunk that learns with it."""
    own = copy.deepcopy(trunk)
    optimizer = torch.optim.AdamW([*own.parameters(), *head.parameters()], lr=own_cfg.learning_rate, weight_decay=cfg.weight_decay)
    layers = head.shape.layers

    def learn(votes_P2: np.ndarray) -> Tensor:
        own.train()
        _freeze_statistics(own)
        pixels = _pixels(squares([photos[r] for r in votes_P2.ravel()], side_px), own)
        return _loss(head(features(layers_of(own, pixels), layers)), cfg)

    val_rows, val_votes = np.unique(lessons.val_P2, return_inverse=True)
    val_photos = [photos[r] for r in val_rows]

    def opa() -> float | None:
        return _opa_of(head, read_features(own, val_photos, side_px, layers), val_votes.reshape(-1, 2)) if val_photos else None

    course = Course(lessons.train_P2, cfg.batch_size, own_cfg.epochs, seed, cfg.checkpoint_every_steps)
    return _teach(Taught(head, own, None), optimizer, course, learn, opa, checkpoints)


def _freeze_statistics(trunk: nn.Module) -> None:
    """Batch statistics of pairs are not those of the catalogue: the stem keeps the ones it was trained with."""
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _loss(logit_2P: Tensor, cfg: HeadConfig) -> Tensor:
    better_P, worse_P = logit_2P.reshape(-1, 2).T
    return focal_pair_loss(better_P, worse_P, cfg.focal_gamma)


@torch.inference_mode()
def _opa_of(head: ScoreHead, feature_NF: Tensor, votes_P2: np.ndarray) -> float | None:
    head.eval()
    return votes_won(head(feature_NF).cpu().numpy(), votes_P2)


@dataclass(frozen=True)
class Course:
    """The steps of a training: batches of votes in an order that seed and epoch give, and after how many steps a checkpoint is kept."""

    votes_P2: np.ndarray
    batch_size: int
    epochs: int
    seed: int
    checkpoint_every_steps: int

    @property
    def steps_an_epoch(self) -> int:
        """Batches of one pass over the votes."""
        return math.ceil(len(self.votes_P2) / self.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * self.steps_an_epoch

    def batches(self, step: int) -> Iterator[np.ndarray]:
        """The batches from `step` on, which is counted from 0."""
        for now in range(step, self.num_steps):
            epoch, number = divmod(now, self.steps_an_epoch)
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.votes_P2))
            yield self.votes_P2[order[number * self.batch_size : (number + 1) * self.batch_size]]


def _teach(
    taught: Taught,
    optimizer: torch.optim.Optimizer,
    course: Course,
    learn: Callable[[np.ndarray], Tensor],
    opa: Callable[[], float | None],
    checkpoints: Checkpoints,
) -> Taught:
    """Takes the course and leaves head and trunk at the epoch with the best OPA, the start counting as one; at the last without votes."""
    parts = nn.ModuleDict({"head": taught.head} | ({} if taught.trunk is None else {"trunk": taught.trunk}))
    progress = checkpoints.resume(parts, optimizer)
    if not progress.best:
        _keep(progress, parts, opa())
    for votes_P2 in course.batches(progress.step):
        taught.head.train()
        loss = learn(votes_P2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.step += 1
        progress.loss_sum += float(loss.detach())
        if progress.step % course.steps_an_epoch == 0:
            _end_epoch(progress, parts, course, opa())
        if progress.step % course.checkpoint_every_steps == 0 or progress.step == course.num_steps:
            checkpoints.save(parts, optimizer, progress)
    parts.load_state_dict(progress.best)
    parts.eval()
    taught.val_opa = None if progress.best_value < 0 else progress.best_value
    taught.curve = progress.curve
    return taught


def _end_epoch(progress: Progress, parts: nn.Module, course: Course, value: float | None) -> None:
    """Notes the epoch on the curve, and keeps its weights where they are the best so far or nothing says which are."""
    loss, progress.loss_sum = progress.loss_sum / course.steps_an_epoch, 0.0
    epoch = progress.step // course.steps_an_epoch
    progress.curve.append({"epoch": epoch, "train_loss": loss} | ({} if value is None else {"val_opa": value}))
    if value is None or value > progress.best_value:
        _keep(progress, parts, value)


def _keep(progress: Progress, parts: nn.Module, value: float | None) -> None:
    progress.best = {name: tensor.detach().clone() for name, tensor in parts.state_dict().items()}
    progress.best_value = -1.0 if value is None else value
