"""How fast a training step is, and what share of the card's bf16 peak that is: figures for docs/benchmarks.md, no limits.

FLOPs are counted by torch (matrix products, convolutions and attention, forward and backward), a multiplication and an addition each one.
The peak is that of a large product of square matrices on the same card in the same minute, not the maker's.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import SiglipConfig

from components.checkpoint import Checkpoints
from components.finetune.batches import TrainSet
from components.finetune.loss import Alike, sigmoid_loss
from components.finetune.train import Run
from components.objects import FolderStore
from components.photos import ahead
from components.siglip import from_scratch
from tests.gpu.conftest import card, world_on
from tests.lessons import train_config, unit

GIB = 2**30


@dataclass(frozen=True)
class Size:
    """What is measured: a SigLIP's shape, pairs a step, and how long."""

    layers: int
    hidden: int
    image_px: int
    max_tokens: int
    vocab_size: int
    batch_size: int
    num_steps: int
    gemm: int
    precision: str


# google/siglip-base-patch16-256-multilingual in shape, with random weights; and something that a CPU does in a second.
LARGE = Size(12, 768, 256, 64, 250_000, 256, 20, 8192, "bf16")
TINY = Size(2, 64, 32, 16, 300, 16, 2, 256, "fp32")


def size_for(device: torch.device) -> Size:
    if device.type != "cuda":
        return TINY
    return LARGE if torch.cuda.get_device_properties(device).total_memory > 60 * GIB else replace(LARGE, batch_size=64)


def encoder_of(size: Size) -> Any:
    shared = {"hidden_size": size.hidden, "intermediate_size": 4 * size.hidden, "num_hidden_layers": size.layers}
    shared |= {"num_attention_heads": size.hidden // 64}
    text = shared | {"vocab_size": size.vocab_size, "max_position_embeddings": size.max_tokens, "projection_size": size.hidden}
    text |= {"pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1}
    return from_scratch(SiglipConfig(text_config=text, vision_config=shared | {"image_size": size.image_px, "patch_size": 16}))


def photo(seed: int) -> bytes:
    """A JPEG of 512 px."""
    blots = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(blots).resize((512, 512)).save(sink := io.BytesIO(), "JPEG")
    return sink.getvalue()


def run_of(size: Size, device: torch.device, folder: Any) -> Run:
    num = size.batch_size * 2
    tokens = torch.randint(0, 300, (num, size.max_tokens), generator=torch.Generator().manual_seed(0))
    photos = [photo(seed) for seed in range(8)]
    data = TrainSet(
        [photos[i % 8] for i in range(num)], [str(i) for i in range(num)], tokens, [None] * num, np.arange(num, dtype=np.uint64)
    )
    cfg = train_config(batch_size=size.batch_size, min_steps_an_epoch=1000, epochs=1, precision=size.precision, duplicate_distance=0)
    return Run(encoder_of(size).to(device), data, cfg, Checkpoints(FolderStore(folder / "cache"), "k"), world_on(device))


def seconds(act: Callable[[], Any], times: int, device: torch.device) -> float:
    """Of one call, the mean of so many after a first that is not counted."""
    act()
    _await(device)
    started = time.perf_counter()
    for _ in range(times):
        act()
    _await(device)
    return (time.perf_counter() - started) / times


def _await(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_flops(size: Size, device: torch.device) -> float:
    """FLOP/s of the best of five rounds of a product of square matrices in the precision that is trained in."""
    kind = torch.bfloat16 if size.precision == "bf16" else torch.float32
    a, b = (torch.randn(size.gemm, size.gemm, device=device, dtype=kind) for _ in range(2))
    return 2 * size.gemm**3 / min(seconds(lambda: a @ b, 10, device) for _ in range(5))


def counted_flops(act: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        act()
    return int(counter.get_total_flops())


def forward_flops(size: Size) -> int:
    """Of a plain SigLIP's towers by hand, for one pair: products with weights, and of queries, keys and values with each other."""

    def layers(tokens: int) -> int:
        return size.layers * (2 * tokens * 12 * size.hidden**2 + 4 * tokens**2 * size.hidden)

    patches = (size.image_px // 16) ** 2
    patching = 2 * patches * size.hidden * 3 * 16**2
    pooling = 2 * (2 * patches + 2) * size.hidden**2 + 4 * patches * size.hidden + 2 * 8 * size.hidden**2
    return layers(patches) + patching + pooling + layers(size.max_tokens) + 2 * size.hidden**2


def test_flops_are_counted_as_by_hand(tmp_path):
    size = TINY
    run = run_of(size, torch.device("cpu"), tmp_path)
    batch = next(run.left())
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # a CPU's own attention is not counted
        counted = counted_flops(lambda: run.model(batch.pixels_bCHW, batch.tokens_bT))
    assert abs(counted / (size.batch_size * forward_flops(size)) - 1) < 0.01


def test_throughput_of_a_step_and_its_share_of_the_peak(device, tmp_path, report):
    size = size_for(device)
    run = run_of(size, device, tmp_path)
    batch = next(run.left())
    flops = counted_flops(lambda: run.learn(batch))
    step_s = seconds(lambda: run.learn(batch), size.num_steps, device)
    loaded = ahead(run.left())
    loaded_s = seconds(lambda: run.learn(next(loaded)), size.num_steps, device)
    peak = peak_flops(size, device)
    figures = card(device) | {
        "precision": size.precision,
        "pairs_a_step": size.batch_size,
        "parameters": sum(p.numel() for p in run.encoder.parameters()),
        "step_s": step_s,
        "pictures_per_s": size.batch_size / step_s,
        "pictures_per_s_with_decoding": size.batch_size / loaded_s,
        "tflop_a_step": flops / 1e12,
        "tflops": flops / step_s / 1e12,
        "measured_peak_tflops": peak / 1e12,
        "share_of_measured_peak": flops / step_s / peak,
    }
    if device.type == "cuda":
        figures["peak_memory_gib"] = torch.cuda.max_memory_allocated(device) / GIB
    report(f"throughput_{device.type}", figures)
    assert 0 < figures["share_of_measured_peak"] < 1.5
    assert flops > 2 * size.batch_size * forward_flops(size), "a way back costs about twice the way there"


def test_a_loss_in_pieces_spares_memory_on_a_gpu_and_has_the_same_gradients(device, report):
    num, pieces = (8192, 2**22) if device.type == "cuda" else (256, 2**12)
    alike = Alike.of([str(i) for i in range(num)], [None] * num, np.arange(num, dtype=np.uint64), 0)
    alike = alike.of_rows(torch.arange(num), device)
    found: list[Any] = []
    figures = card(device) | {"pairs": num}
    for name, cells in (("whole", num**2), ("in_pieces", pieces)):
        z_img, z_txt = (unit(num, 768, seed).to(device).requires_grad_() for seed in (0, 1))

        def learn(z_img: torch.Tensor = z_img, z_txt: torch.Tensor = z_txt, cells: int = cells) -> Any:
            loss = sigmoid_loss(z_img, z_txt, torch.tensor(2.3), torch.tensor(-10.0), alike.same, max_cells=cells)
            return torch.autograd.grad(loss, (z_img, z_txt))

        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        found.append(learn())
        if device.type == "cuda":
            figures[f"{name}_peak_mib"] = (torch.cuda.max_memory_allocated(device) - before) / 2**20
        figures[f"{name}_s"] = seconds(learn, 5, device)
    report(f"loss_{device.type}", figures)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-7)
    if device.type == "cuda":
        assert figures["in_pieces_peak_mib"] < figures["whole_peak_mib"] / 3
