"""The processes that train together, seen from one of them. One process alone is a world too, in which nothing is sent."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn
from torch.optim import Optimizer

from components.checkpoint import Checkpoints, Progress
from components.errors import BadEnvironment
from components.finetune.meeting import STARTED, lost_told, open_store
from components.finetune.place import Place

PART_BYTES = 2**30


@dataclass(frozen=True)
class World:
    """Rank `rank` of `size` processes, which works on `device`. Every call but is_first and share is made by all ranks, in one order."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, logs and decides."""
        return self.rank == 0

    def share(self, num_rows: int) -> slice:
        """This rank's rows of a batch; `num_rows` is a multiple of the size."""
        own = num_rows // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def gathered(self, own: Tensor) -> Tensor:
        """The rows of every rank, in order of rank. Gradients flow back to the rank that a row came from."""
        if self.size == 1:
            return own
        rows: Tensor = _Gathered.apply(own)  # type: ignore[no-untyped-call]
        return rows

    def summed(self, values: np.ndarray) -> np.ndarray:
        """The sum over ranks, of one shape and type on each."""
        if self.size > 1:
            dist.all_reduce(torch.from_numpy(values))
        return values

    def from_first(self, data: bytes | None) -> bytes | None:
        """What rank 0 hands in, on every rank; what the others hand in does not count."""
        if self.size == 1:
            return data
        size = torch.tensor(-1 if data is None else len(data))
        dist.broadcast(size, 0)
        if size < 0:
            return None
        sent = torch.frombuffer(bytearray(data or b""), dtype=torch.uint8) if self.is_first else torch.empty(int(size), dtype=torch.uint8)
        for part in sent.split(PART_BYTES):
            dist.broadcast(part, 0)
        return sent.numpy().tobytes()

    def decided(self, value: float | None) -> float | None:
        """Rank 0's value on every rank, to the last bit: others may have rounded theirs otherwise."""
        told: Any = json.loads(self.from_first(json.dumps(value).encode()) or b"null")
        return None if told is None else float(told)


class _Gathered(torch.autograd.Function):
    """Rows of all ranks. The gradient of a row is the sum over the ranks that made use of it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


@dataclass(frozen=True)
class SharedCheckpoints(Checkpoints):
    """Checkpoints that rank 0 alone reads and writes; all ranks go on from what it read, however many wrote it."""

    world: World

    def save(self, model: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
        if self.world.is_first:
            super().save(model, optimizer, progress)

    def kept(self) -> bytes | None:
        return self.world.from_first(super().kept() if self.world.is_first else None)

    def forget(self) -> None:
        if self.world.is_first:
            super().forget()


def alone() -> World:
    """The world of one process, on the device that accelerate chooses."""
    return World(0, 1, PartialState().device)


@contextmanager
def joined(place: Place, patience_s: float, threads: int) -> Iterator[World]:
    """The world of the processes at `place`, once all of them are there. An error of the block that comes of a lost process is RankLost.

    Raises RankLost where one is gone, or not heard of for `patience_s` seconds: then this process can only end and start again.
    """
    if place.size == 1:
        yield alone()
        return
    limit, on_cpu = timedelta(seconds=patience_s), not torch.cuda.is_available()
    if not on_cpu and place.local_rank >= torch.cuda.device_count():
        raise BadEnvironment(
            f"LOCAL_RANK = {place.local_rank}, but this machine has {torch.cuda.device_count()} GPUs: one for each process"
        )
    os.environ.update(place.variables())
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # else accelerate sets a number of its own
    with lost_told(place, patience_s):
        store = open_store(place, patience_s)
        if place.rank == 0:
            store.set(STARTED, "1")
        dist.init_process_group(
            "gloo" if on_cpu else "cpu:gloo,cuda:nccl", store=store, rank=place.rank, world_size=place.size, timeout=limit
        )
        torch.set_num_threads(threads)
        yield World(place.rank, place.size, PartialState(cpu=on_cpu).device)
    dist.destroy_process_group()
