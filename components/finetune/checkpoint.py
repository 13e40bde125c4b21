"""Training state that survives a kill: one safetensors file in the work cache. Nothing is pickled."""

import json
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from components.objects import FolderStore


@dataclass
class Progress:
    """Where a training run stands. `best` is the weights of the epoch with the highest validation value."""

    step: int = 0
    best_epoch: int = -1
    best_value: float = -1.0
    loss_sum: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


def pack(model: nn.Module, optimizer: Optimizer, progress: Progress) -> bytes:
    """The whole state as safetensors, scalars in its header."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | {f"best.{k}": v for k, v in progress.best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optim.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    scalars = {k: v for k, v in vars(progress).items() if k != "best"}
    copies = {k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()}
    return safetensors.torch.save(copies, metadata={"progress": json.dumps(scalars)})


def unpack(data: bytes, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Puts a packed state back into model and optimizer, and returns where the run stood."""
    tensors = safetensors.torch.load(data)
    model.load_state_dict(_below("model.", tensors))
    state: dict[int, dict[str, Any]] = {}
    for name, value in _below("optim.", tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return Progress(**_scalars(data), best=_below("best.", tensors))


def _scalars(data: bytes) -> dict[str, Any]:
    """The header's scalars: safetensors puts them, as JSON, under __metadata__ of the length-prefixed header."""
    size = int.from_bytes(data[:8], "little")
    scalars: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["progress"])
    return scalars


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class Checkpoints:
    """The last state of one run, found by the digest of everything that decides its outcome."""

    store: FolderStore
    key: str

    def save(self, model: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
        """Replaces the last state in one step."""
        self.store.put(self.key, pack(model, optimizer, progress))

    def resume(self, model: nn.Module, optimizer: Optimizer) -> Progress:
        """The last state, put back; a new Progress where there is none."""
        data = self.store.get(self.key)
        return unpack(data, model, optimizer) if data else Progress()
