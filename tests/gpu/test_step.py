"""What a step of training does on a GPU, against the same step on a CPU, in single precision and in bf16."""

from typing import Any

import pytest
import torch

from components.checkpoint import Checkpoints
from components.finetune.train import Run
from components.objects import FolderStore
from tests.gpu.conftest import on, world_on
from tests.lessons import assert_within_half_a_step, lesson, train_config


def run_on(device: torch.device, folder: Any, **changes: Any) -> Run:
    model, data = lesson(24)
    model.to(device)
    cfg = train_config(**{"batch_size": 8, "epochs": 4, "min_steps_an_epoch": 3} | changes)
    return Run(model, data, cfg, Checkpoints(FolderStore(folder / "cache"), "k"), world_on(device))


def steps(run: Run, num: int) -> list[float]:
    """The losses of so many steps."""
    for _, batch in zip(range(num), run.left(), strict=False):
        run.learn(batch)
    return [float(loss) for loss in run.losses]


def gradients(run: Run) -> dict[str, torch.Tensor]:
    return {name: p.grad.detach().double().cpu() for name, p in run.encoder.named_parameters() if p.grad is not None}


def whole(grads: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([grad.flatten() for grad in grads.values()])


def test_a_step_has_the_gradients_of_a_cpu(device, tmp_path):
    """Each within a thousandth of its tensor's largest, or 1e-6 where that is smaller (keys' biases have none but noise)."""
    here, there = run_on(device, tmp_path / "here"), run_on(torch.device("cpu"), tmp_path / "there")
    assert steps(here, 1) == pytest.approx(steps(there, 1), rel=1e-5)
    found = gradients(here)
    for name, expected in gradients(there).items():
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-6 + 1e-3 * float(expected.abs().max()), msg=name)


def test_an_epoch_and_more_ends_within_half_a_step_of_a_cpu(device, tmp_path):
    here, there = run_on(device, tmp_path / "here"), run_on(torch.device("cpu"), tmp_path / "there")
    assert steps(here, 8) == pytest.approx(steps(there, 8), rel=1e-4)
    assert_within_half_a_step(here.encoder.state_dict(), there.encoder.state_dict())


def test_bf16_rounds_activations_alone_and_pulls_the_same_way(device, tmp_path):
    """The loss within 2 %, the gradient at a cosine above .98; weights and moments stay in single precision, and nothing is scaled."""
    full, half = run_on(device, tmp_path / "full"), run_on(device, tmp_path / "half", precision="bf16")
    assert steps(half, 1) == pytest.approx(steps(full, 1), rel=0.02)
    assert float(torch.cosine_similarity(whole(gradients(half)), whole(gradients(full)), dim=0)) > 0.98
    assert half.accelerator.scaler is None
    assert {p.dtype for p in half.encoder.parameters()} == {torch.float32}
    assert {s["exp_avg"].dtype for s in half.optimizer.state_dict()["state"].values()} == {torch.float32}


def test_bf16_learns_what_fp32_learns(device, tmp_path):
    full, half = run_on(device, tmp_path / "full"), run_on(device, tmp_path / "half", precision="bf16")
    learned, rounded = steps(full, 8), steps(half, 8)
    assert learned[-1] < 0.9 * learned[0]
    assert rounded[-1] == pytest.approx(learned[-1], rel=0.05)


def test_what_trains_lies_on_the_device_and_batches_are_made_there(device, tmp_path):
    run = run_on(device, tmp_path)
    steps(run, 1)
    batch = next(run.left())
    on_device = [*run.encoder.parameters(), *run.encoder.buffers(), batch.pixels_bCHW, batch.tokens_bT, batch.alike.title_B, *run.losses]
    assert {tensor.device for tensor in on_device} == {device}


def test_a_batch_is_the_same_wherever_it_is_made(device, tmp_path):
    here, there = run_on(device, tmp_path), run_on(torch.device("cpu"), tmp_path)
    for found, expected in zip(here.left(), there.left(), strict=True):
        torch.testing.assert_close(found.pixels_bCHW.cpu(), expected.pixels_bCHW, rtol=0, atol=1e-4)
        assert torch.equal(found.tokens_bT.cpu(), expected.tokens_bT)
        assert torch.equal(found.alike.same(slice(None)).cpu(), expected.alike.same(slice(None)))


@pytest.mark.parametrize("product", ["matrix", "convolution"])
def test_single_precision_is_not_tf32(device, product):
    """TF32 keeps 10 bits: its products of random numbers are about 5e-4 off, those of single precision 1e-6."""
    generator = torch.Generator().manual_seed(0)
    if product == "matrix":
        a, b = torch.randn(512, 512, generator=generator), torch.randn(512, 512, generator=generator)
        found, exact = a.to(device) @ b.to(device), a.double() @ b.double()
    else:
        a, b = torch.randn(4, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
        found, exact = torch.conv2d(a.to(device), b.to(device)), torch.conv2d(a.double(), b.double())
    assert float((found.cpu().double() - exact).norm() / exact.norm()) < 2e-5


def test_the_same_run_twice_on_a_gpu_is_close_to_the_last_bit(tmp_path, report):
    device = on("cuda")
    first, again = run_on(device, tmp_path / "a"), run_on(device, tmp_path / "b")
    assert steps(again, 8) == pytest.approx(steps(first, 8), rel=1e-5)
    pairs = list(zip(first.encoder.state_dict().values(), again.encoder.state_dict().values(), strict=True))
    report("repeatable", {"equal_to_the_last_bit": all(torch.equal(a, b) for a, b in pairs)})
