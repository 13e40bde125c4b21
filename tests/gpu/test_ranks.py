"""Two GPUs against one, over NCCL. What holds on loopback between CPUs is in tests/unit/test_world.py."""

import pytest
import torch

from components.finetune.world import World
from tests.gpu.conftest import world_on
from tests.lessons import assert_within_half_a_step
from tests.ranks import finished, kept, ranks, said
from tests.unit.test_world import STEPS, learn


def test_two_gpus_end_within_half_a_step_of_one(tmp_path):
    if (num := torch.cuda.device_count()) < 2:
        pytest.skip(f"needs two GPUs, {num} here")
    (tmp_path / "one" / "0").mkdir(parents=True)
    world: World = world_on(torch.device("cuda", 0))
    learn(world, tmp_path / "one" / "0", STEPS)
    with ranks(learn, tmp_path / "two", 2, STEPS) as processes:
        assert finished(processes) == [0, 0], "\n".join(said(tmp_path / "two", rank) for rank in (0, 1))
    (one, _), (two, _) = kept(tmp_path / "one"), kept(tmp_path / "two")
    assert_within_half_a_step(two, one, rtol=1e-3)
