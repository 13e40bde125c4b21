import logging

import pytest
import torch
from torch import nn

from components.checkpoint import Checkpoints, Progress
from components.objects import FolderStore


def trained(seed: int):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture
def kept(tmp_path):
    """A checkpoint of a model at step 7, and the file it lies in."""
    checkpoints = Checkpoints(FolderStore(tmp_path), "finetune/k")
    checkpoints.save(*trained(1), Progress(step=7))
    return checkpoints, tmp_path / "finetune" / "k"


def test_a_state_comes_back_with_the_random_numbers_that_would_have_come_next(tmp_path):
    checkpoints = Checkpoints(FolderStore(tmp_path), "k")
    model, optimizer = trained(1)
    checkpoints.save(model, optimizer, Progress(step=7, curve=[{"epoch": 1, "train_loss": 2.5}]))
    expected = torch.rand(3)
    other, fresh = trained(2)
    assert checkpoints.resume(other, fresh).curve == [{"epoch": 1, "train_loss": 2.5}]
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(fresh.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


@pytest.mark.parametrize("damage", ["a bit turned in the weights", "cut short", "empty", "another file"])
def test_a_damaged_checkpoint_is_dropped_and_the_training_starts_over(kept, caplog, damage):
    checkpoints, path = kept
    data = path.read_bytes()
    turned = data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]
    path.write_bytes({"a bit turned in the weights": turned, "cut short": data[:-9], "empty": b"", "another file": b"x" * 99}[damage])
    model, optimizer = trained(2)
    before = model.weight.clone()
    with caplog.at_level(logging.WARNING, logger="vitrine"):
        assert checkpoints.resume(model, optimizer) == Progress()
    assert torch.equal(model.weight, before)
    assert not path.exists()
    assert "finetune/k is damaged; dropped, the training starts over" in caplog.text


def test_what_is_forgotten_leaves_nothing_behind(kept):
    checkpoints, path = kept
    checkpoints.forget()
    checkpoints.forget()
    assert not path.parent.exists()
    assert checkpoints.resume(*trained(2)) == Progress()
