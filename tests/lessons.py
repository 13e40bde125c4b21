"""A lesson small enough for a test: a narrow encoder from scratch, and a few drawn photos with titles."""

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from components.contract import bind, read_params
from components.finetune.batches import TrainSet
from components.finetune.config import TrainConfig
from components.finetune.start import ScratchConfig, start_model
from components.siglip import Encoder, tokenise
from tests.conftest import PROJECT, SMALL, merge

TITLES = ["red mug", "blue mug", "red shoe", "blue shoe", "赤いマグ", "青い靴"]


def params() -> dict[str, Any]:
    found: dict[str, Any] = read_params(PROJECT / "params.yaml")["finetune"]
    merge(found, SMALL["finetune"])
    return found


def scratch() -> ScratchConfig:
    return bind(ScratchConfig, "scratch", params())


def train_config(**changes: Any) -> TrainConfig:
    return bind(TrainConfig, "train", {"train": params()["train"] | {"batch_size": 4, "checkpoint_every_steps": 1} | changes})


def unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    """(rows, dim) random vectors of length 1."""
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


def picture(seed: int) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def lesson(num: int = 10) -> tuple[Encoder, TrainSet]:
    """An untrained model, and what there is to learn; equal each time. Six titles, no products, no near-duplicates."""
    model, tokenizer = start_model("scratch", scratch(), TITLES, seed=0)
    titles = [TITLES[i % len(TITLES)] for i in range(num)]
    phashes = np.random.default_rng(0).integers(0, 2**63, num).astype(np.uint64)
    return model, TrainSet([picture(i) for i in range(num)], titles, tokenise(tokenizer, titles, 16), [None] * num, phashes)


def weights(model: torch.nn.Module) -> list[bytes]:
    return [t.cpu().numpy().tobytes() for t in model.state_dict().values()]


def weights_digest(model: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(weights(model))).hexdigest()


def assert_within_half_a_step(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], rtol: float = 1e-4) -> None:
    """Weights that single precision may round apart. Of keys' biases nothing is asked: a softmax does not see what all keys share,
    so that their gradient is noise, and AdamW takes whole steps along it."""
    assert found.keys() == expected.keys()
    atol = train_config().learning_rate / 2
    for name, value in expected.items():
        here, there = found[name].cpu(), value.cpu()
        if name.endswith("in_proj_bias"):  # of queries, keys and values, in this order
            here, there = (torch.cat([t.chunk(3)[0], t.chunk(3)[2]]) for t in (here, there))
        if not name.endswith("k_proj.bias"):
            torch.testing.assert_close(here, there, rtol=rtol, atol=atol, msg=name)
