"""The batches of a training run, which follow from the seed and the step. Of each, a process decodes its own share.

Shape suffixes: B pairs of a batch, b those of this process, N of the whole side, T tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from components.errors import BadParams
from components.finetune.augment import augment, draw_views
from components.finetune.config import TrainConfig
from components.finetune.loss import Alike
from components.finetune.world import World
from components.images import normalise
from components.photos import squares


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
    """This process's share of a batch of B pairs, decoded: rows `first` to first + b. `alike` tells of all B."""

    step: int
    first: int
    pixels_bCHW: Tensor
    tokens_bT: Tensor
    alike: Alike


class Batches:
    """How a side is passed over: batches of at most `batch_size` pairs, an epoch being a pass, or more where there are few photos.

    Raises BadParams where the processes cannot share a batch equally.
    """

    def __init__(self, data: TrainSet, cfg: TrainConfig, image_px: int, world: World) -> None:
        self.data, self.cfg, self.image_px, self.world = data, cfg, image_px, world
        self.batch_size = min(cfg.batch_size, len(data.photos))
        if self.batch_size % world.size:
            raise BadParams(
                f"finetune: {world.size} processes cannot share batches of {self.batch_size} pairs equally: set finetune.train.batch_size "
                f"to a multiple of {world.size} that is at most the number of photos, or start as many processes as divide it"
            )
        self.steps_a_pass = len(data.photos) // self.batch_size
        self.steps_an_epoch = max(self.steps_a_pass, cfg.min_steps_an_epoch)
        self.num_steps = self.steps_an_epoch * cfg.epochs
        self.alike = Alike.of(data.titles, data.products, data.phashes, cfg.duplicate_distance)

    def following(self, step: int) -> Iterator[Batch]:
        """The batches from `step` on, which is counted from 0, in the order that seed and pass give."""
        for now in range(step, self.num_steps):
            over, number = divmod(now, self.steps_a_pass)
            order = np.random.default_rng([self.cfg.seed, over]).permutation(len(self.data.photos))
            yield self._batch(now, order[number * self.batch_size : (number + 1) * self.batch_size])

    def _batch(self, step: int, rows: np.ndarray) -> Batch:
        own = self.world.share(len(rows))
        views = draw_views(len(rows), self.cfg.augment, torch.Generator().manual_seed(self.draw_seed(step)))
        pixels = self._moved(normalise(squares([self.data.photos[r] for r in rows[own]], self.image_px)))
        return Batch(
            step,
            own.start,
            augment(pixels, views.of_rows(own)),
            self.data.tokens[torch.from_numpy(rows[own])].to(self.world.device),
            self.alike.of_rows(torch.from_numpy(rows), self.world.device),
        )

    def draw_seed(self, step: int) -> int:
        """The seed of what is drawn for one step."""
        return self.cfg.seed * 1_000_003 + step

    def _moved(self, pixels: np.ndarray) -> Tensor:
        """On the device that trains; a GPU copies from pinned memory while it computes."""
        found = torch.from_numpy(pixels)
        if self.world.device.type != "cuda":
            return found.to(self.world.device)
        with torch.cuda.device(self.world.device):  # batches are made in a thread, which starts out on the first GPU
            return found.pin_memory().to(self.world.device, non_blocking=True)
