"""Training state that survives a kill: one object in the work cache, the digest of its bytes first. Nothing is pickled."""

import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from components.objects import ObjectStore

log = logging.getLogger("vitrine")

DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass
class Progress:
    """Where a training run stands. `best` is the weights of the epoch with the highest validation value, `scaler` the state of fp16's."""

    step: int = 0
    best_epoch: int = -1
    best_value: float = -1.0
    loss_sum: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    scaler: dict[str, float] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)


def pack(model: nn.Module, optimizer: Optimizer, progress: Progress) -> bytes:
    """The whole state as safetensors, scalars in its header; the state of torch's random numbers too, which dropout draws from."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | {f"best.{k}": v for k, v in progress.best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optim.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors |= {f"random.{device}": state for device, state in _random_states()}
    scalars = {k: v for k, v in vars(progress).items() if k != "best"}
    copies = {k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()}
    return safetensors.torch.save(copies, metadata={"progress": json.dumps(scalars)})


def _random_states() -> list[tuple[str, Tensor]]:
    cpu = [("cpu", torch.get_rng_state())]
    return [*cpu, ("cuda", torch.cuda.get_rng_state())] if torch.cuda.is_available() else cpu


def unpack(data: bytes, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Puts a packed state back into model, optimizer and torch's random numbers, and returns where the run stood."""
    tensors = safetensors.torch.load(data)
    model.load_state_dict(_below("model.", tensors))
    state: dict[int, dict[str, Any]] = {}
    for name, value in _below("optim.", tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
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

    store: ObjectStore
    key: str

    def save(self, model: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
        """Replaces the last state in one step."""
        data = pack(model, optimizer, progress)
        self.store.put(self.key, hashlib.sha256(data).digest() + data)

    def resume(self, model: nn.Module, optimizer: Optimizer) -> Progress:
        """The last state, put back; a new Progress where there is none."""
        data = self.kept()
        return Progress() if data is None else unpack(data, model, optimizer)

    def kept(self) -> bytes | None:
        """The last state, packed; None where there is none, or where its bytes are not those that were kept."""
        kept = self.store.get(self.key)
        if kept is None:
            return None
        digest, data = kept[:DIGEST_BYTES], kept[DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            log.warning("work cache: the checkpoint %s is damaged; dropped, the training starts over", self.key)
            self.forget()
            return None
        return data

    def forget(self) -> None:
        """Drops the state: the run's outs are in place, or it cannot be used."""
        self.store.delete(self.key)
