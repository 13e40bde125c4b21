"""Teaching the head from votes: the pairwise focal loss, on a trunk that stays as it is or on a copy of its own.

Shape suffixes: P votes, F features, N photos.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from transformers import SiglipVisionModel

from components.contract import Config
from components.head import HeadShape, ScoreHead, features, layers_of
from components.images import normalise
from components.metrics import ordered_pair_accuracy
from components.photos import ahead, squares
from components.progress import track

log = logging.getLogger("vitrine")

EMBED_BATCH = 64


class HeadConfig(Config):
    """How the head is taught on the shared trunk. A gamma of 0 makes the focal loss the plain logistic one."""

    layers: list[int] = Field(min_length=1)
    hidden: int = Field(gt=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    focal_gamma: float = Field(ge=0)


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
    """(N, F) features of photos by a trunk in eval mode."""
    trunk.eval()
    starts = range(0, len(photos), EMBED_BATCH)
    batches = ahead(squares(photos[start : start + EMBED_BATCH], side_px) for start in starts)
    shown = track(batches, len(starts), "score: photos read, batch")
    return torch.cat([features(layers_of(trunk, torch.from_numpy(normalise(batch))), layers) for batch in shown])


def teach_on_shared_trunk(feature_NF: Tensor, lessons: Lessons, shape: HeadShape, cfg: HeadConfig, seed: int) -> Taught:
    """A head on features of a trunk that does not change."""
    torch.manual_seed(seed)
    head = ScoreHead(shape)
    optimizer = torch.optim.AdamW(head.parameters(), lr=cfg.learning_rate, weight_decay=cfg.weight_decay)

    def learn(votes_P2: np.ndarray) -> Tensor:
        return _loss(head(feature_NF[torch.from_numpy(votes_P2)].flatten(0, 1)), cfg)

    def opa() -> float | None:
        return _opa_of(head, feature_NF, lessons.val_P2)

    return _teach(Taught(head, None, None), optimizer, _epochs(lessons, cfg, seed, cfg.epochs), learn, opa)


def teach_on_own_trunk(
    trunk: SiglipVisionModel,
    photos: list[bytes],
    side_px: int,
    lessons: Lessons,
    head: ScoreHead,
    cfg: HeadConfig,
    own_cfg: OwnTrunkConfig,
    seed: int,
) -> Taught:
    """`head`, taught further on a copy of the trunk that learns with it."""
    own = copy.deepcopy(trunk)
    optimizer = torch.optim.AdamW([*own.parameters(), *head.parameters()], lr=own_cfg.learning_rate, weight_decay=cfg.weight_decay)
    layers = head.shape.layers

    def learn(votes_P2: np.ndarray) -> Tensor:
        own.train()
        _freeze_statistics(own)
        pixels = torch.from_numpy(normalise(squares([photos[r] for r in votes_P2.ravel()], side_px)))
        return _loss(head(features(layers_of(own, pixels), layers)), cfg)

    val_rows, val_votes = np.unique(lessons.val_P2, return_inverse=True)
    val_photos = [photos[r] for r in val_rows]

    def opa() -> float | None:
        return _opa_of(head, read_features(own, val_photos, side_px, layers), val_votes.reshape(-1, 2)) if val_photos else None

    return _teach(Taught(head, own, None), optimizer, _epochs(lessons, cfg, seed, own_cfg.epochs), learn, opa)


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
    return votes_won(head(feature_NF).numpy(), votes_P2)


def _epochs(lessons: Lessons, cfg: HeadConfig, seed: int, epochs: int) -> Iterator[list[np.ndarray]]:
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(lessons.train_P2))
        yield [lessons.train_P2[order[i : i + cfg.batch_size]] for i in range(0, len(order), cfg.batch_size)]


def _teach(
    taught: Taught,
    optimizer: torch.optim.Optimizer,
    epochs: Iterable[list[np.ndarray]],
    learn: Callable[[np.ndarray], Tensor],
    opa: Callable[[], float | None],
) -> Taught:
    """Runs the epochs and leaves head and trunk at the one with the best OPA, the start counting as one; at the last without votes."""
    parts = [p for p in (taught.head, taught.trunk) if p is not None]
    taught.val_opa, best = opa(), [copy.deepcopy(p.state_dict()) for p in parts]
    for number, batches in enumerate(epochs, start=1):
        taught.head.train()
        losses = []
        for votes_P2 in batches:
            loss = learn(votes_P2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        now = opa()
        taught.curve.append({"epoch": number, "train_loss": float(np.mean(losses))} | ({} if now is None else {"val_opa": now}))
        if now is None or taught.val_opa is None or now > taught.val_opa:
            taught.val_opa, best = now, [copy.deepcopy(p.state_dict()) for p in parts]
    for part, state in zip(parts, best, strict=True):
        part.load_state_dict(state)
        part.eval()
    return taught
