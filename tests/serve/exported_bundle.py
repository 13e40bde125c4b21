"""A small model with the architecture of `make demo`, untrained, exported as `export` does it: towers, tokenizer, calibrator, manifest."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import torch

from components.calibrator import CALIBRATOR, Calibrator
from components.contract import write_json
from components.export.graphs import ImageGraph, TextGraph, export_image, export_text
from components.export.quantise import quantise
from components.finetune.start import start_model
from components.fingerprint import fingerprint
from components.head import HeadShape, ScoreHead
from components.images import digest, normalise
from components.manifest import write_manifest
from components.photos import squares
from components.towers import IMAGE_GRAPH, SERVING, TEXT_GRAPH, TOKENIZER, Serving
from tests.unit.test_finetune import TITLES, scratch
from tests.vit_bundle import picture

SIDE_PX, DIM, MAX_TOKENS = 32, 8, 16


def export_small(folder: Path) -> None:
    """Writes bundles of the same weights to `fp32` and `int8` in the folder."""
    fp32, int8 = folder / "fp32", folder / "int8"
    tokenizer_end = _write_graphs(fp32)
    shutil.copytree(fp32, int8)
    quantise(fp32 / IMAGE_GRAPH, int8 / IMAGE_GRAPH, iter([normalise(small_squares(16, seed=100))]))
    for precision, bundle in (("fp32", fp32), ("int8", int8)):
        space = fingerprint(encoder="untrained", preprocessing=digest(), projection="random", precision=precision)
        serving = Serving(space, DIM, SIDE_PX, MAX_TOKENS, tokenizer_end, precision, digest())
        write_json(bundle / SERVING, dataclasses.asdict(serving))
        write_manifest(bundle, {"fingerprint": space})


def _write_graphs(folder: Path) -> int:
    """Writes all that both precisions share, and returns the id of the token that pads."""
    folder.mkdir(parents=True)
    model, tokenizer = start_model("scratch", scratch(), TITLES, seed=0)
    projection = torch.linalg.qr(torch.randn(model.width, DIM, generator=torch.Generator().manual_seed(0)))[0]
    torch.manual_seed(0)
    head = ScoreHead(HeadShape([0, 1], model.width, 16, own_trunk=False)).eval()
    export_image(ImageGraph(model.eval(), head, None, projection), SIDE_PX, folder / IMAGE_GRAPH)
    export_text(TextGraph(model, projection), MAX_TOKENS, folder / TEXT_GRAPH)
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    Calibrator([0.0, 0.3, 1.0], [0.0, 0.7, 1.0]).write(folder / CALIBRATOR)
    return int(tokenizer.pad_token_id)


def small_squares(count: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, SIDE_PX, SIDE_PX, 3)."""
    return squares([picture(seed + number, 64) for number in range(count)], SIDE_PX)
