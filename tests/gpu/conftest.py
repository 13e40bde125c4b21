"""`python -m pytest tests/gpu` on a machine with a GPU: ten minutes at most. Elsewhere the same bodies run on the CPU, with a tiny model,
so that what they say of a GPU has at least been executed; what needs a GPU is skipped.

VITRINE_GPU_REPORT names a folder for the figures, a JSON file each; they are printed too.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from components.finetune.component import _make_repeatable
from components.finetune.world import World

REPORT = "VITRINE_GPU_REPORT"


def on(kind: str) -> torch.device:
    """The device. Without a GPU the test that asks for one is skipped."""
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip(f"no GPU: torch {torch.__version__} sees none (built for CUDA {torch.version.cuda})")
    return torch.device("cuda", 0) if kind == "cuda" else torch.device(kind)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    return on(request.param)


def world_on(device: torch.device) -> World:
    """One process on that device, whatever the test before it used: accelerate remembers the device and precision of its first use."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return World(0, 1, device)


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    """As the stage sets torch up; afterwards other tests find it as it was."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    _make_repeatable(2)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=warns)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Prints figures under a name where they are of a GPU, and writes them to the folder that the environment names."""

    def write(name: str, figures: dict[str, Any]) -> None:
        text, folder = json.dumps(figures, indent=2, sort_keys=True), os.environ.get(REPORT)
        if torch.cuda.is_available() or folder:
            with capsys.disabled():
                print(f"\n{name}: {text}")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    return write


def card(device: torch.device) -> dict[str, Any]:
    """What a figure was measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}
