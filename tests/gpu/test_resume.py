"""A training that is killed on one device and goes on on another, or on the same."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from components.checkpoint import Checkpoints
from components.finetune.train import train
from components.objects import FolderStore
from components.siglip import Encoder
from tests.gpu.conftest import on, world_on
from tests.lessons import assert_within_half_a_step, lesson, train_config, weights


class KilledError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Dying(Checkpoints):
    """Ends the run after its fifth checkpoint, in the middle of an epoch."""

    def save(self, model: Any, optimizer: Any, progress: Any) -> None:
        super().save(model, optimizer, progress)
        if progress.step == 5:
            raise KilledError


def trained(device: torch.device, checkpoints: Checkpoints, precision: str) -> tuple[Encoder, list[dict[str, float]]]:
    model, data = lesson(24)
    model.to(device)
    values = {1: 0.1, 2: 0.3, 3: 0.2}
    cfg = train_config(batch_size=8, epochs=3, min_steps_an_epoch=3, precision=precision)
    epochs = iter(values.values())
    progress = train(model, data, cfg, validate=lambda _: next(epochs), checkpoints=checkpoints, world=world_on(device))
    return model, progress.curve


def killed(device: torch.device, store: FolderStore, precision: str) -> None:
    with pytest.raises(KilledError):
        trained(device, Dying(store, "k"), precision)


def resumed(device: torch.device, store: FolderStore, precision: str) -> tuple[Encoder, list[dict[str, float]]]:
    model, data = lesson(24)
    model.to(device)
    later = iter([0.3, 0.2])
    cfg = train_config(batch_size=8, epochs=3, min_steps_an_epoch=3, precision=precision)
    progress = train(model, data, cfg, validate=lambda _: next(later), checkpoints=Checkpoints(store, "k"), world=world_on(device))
    return model, progress.curve


@pytest.mark.parametrize(
    ("before", "after", "precision"),
    [
        ("cpu", "cpu", "fp32"),
        ("cpu", "cpu", "bf16"),
        ("cuda", "cuda", "fp32"),
        ("cuda", "cuda", "bf16"),
        ("cuda", "cuda", "fp16"),
        ("cuda", "cpu", "fp32"),
        ("cpu", "cuda", "fp32"),
    ],
)
def test_a_killed_run_goes_on_to_the_weights_of_an_unkilled_one(tmp_path: Path, before: str, after: str, precision: str) -> None:
    """To the last bit on a CPU. On a GPU, where not every kernel repeats itself, within half a step; fp16 with its scale."""
    first, second, store = on(before), on(after), FolderStore(tmp_path / "killed")
    whole, curve = trained(second, Checkpoints(FolderStore(tmp_path / "whole"), "k"), precision)
    killed(first, store, precision)
    again, seen = resumed(second, store, precision)
    exact = before == after == "cpu"
    assert [row["val_ndcg_at_5"] for row in seen] == [0.1, 0.3, 0.2]
    assert [row["train_loss"] for row in seen] == pytest.approx([row["train_loss"] for row in curve], rel=0 if exact else 1e-3, abs=0)
    if exact:
        assert weights(again) == weights(whole)
    else:
        assert_within_half_a_step(again.state_dict(), whole.state_dict(), rtol=1e-3)
