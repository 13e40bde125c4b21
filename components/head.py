"""The Image Score's head: one number a photo from the patch tokens of several trunk layers, before they are pooled.

Shape suffixes: B photos, L layers read, T tokens, C cells, D trunk width, F = (C + 1) L D features.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import SiglipVisionModel

CELLS_A_SIDE = 3
DROPOUT = 0.2
HEAD, ABOUT, TRUNK = "head.safetensors", "head.json", "trunk.safetensors"


@dataclass(frozen=True)
class HeadShape:
    """What it takes to build the head again. Layer 0 is the stem's output, layer i the i-th block's."""

    layers: list[int]
    trunk_width: int
    hidden: int
    own_trunk: bool


class ScoreHead(nn.Module):
    """A small perceptron over each layer's tokens, averaged by cell: (B, F) features to (B,) logits, higher is better."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        num_features = (CELLS_A_SIDE**2 + 1) * len(shape.layers) * shape.trunk_width
        first, last = nn.Linear(num_features, shape.hidden), nn.Linear(shape.hidden, 1)
        self.body = nn.Sequential(nn.LayerNorm(num_features), nn.Dropout(DROPOUT), first, nn.GELU(), last)

    def forward(self, features_BF: Tensor) -> Tensor:
        """(B,) logits."""
        logits: Tensor = self.body(features_BF).squeeze(-1)
        return logits


def layers_of(trunk: SiglipVisionModel, pixels_BCHW: Tensor) -> list[Tensor]:
    """Tokens (B, T, D) after the stem and after each block: num_hidden_layers + 1 of them."""
    tokens = trunk.embeddings(pixels_BCHW)
    kept = [tokens]
    for block in trunk.encoder.layers:
        tokens = block(tokens, None)
        kept.append(tokens)
    return kept


def pooled(trunk: SiglipVisionModel, last_BTD: Tensor) -> Tensor:
    """(B, D): what the trunk's own head makes of the last block's tokens."""
    vector: Tensor = trunk.head(trunk.post_layernorm(last_BTD))
    return vector


def features(kept: list[Tensor], layers: list[int]) -> Tensor:
    """(B, F): of each layer read, the mean of its tokens in each of 3 x 3 cells, and the spread over all of them.

    Cells say where: clutter lies at the edge, a product in the middle. Spread is what blur and glare take away. Means are products, since
    onnxruntime sums a mean over one photo in another order than over two, and a photo's answer would depend on its batch in the last bit.
    """
    read = [kept[i] for i in layers]
    num_tokens = read[0].shape[1]
    cells, whole = cell_means(num_tokens).to(read[0]), torch.full((1, num_tokens), 1 / num_tokens).to(read[0])
    spread = [(whole @ (t - whole @ t).square() + 1e-6).sqrt().flatten(1) for t in read]
    return torch.cat([(cells @ t).flatten(1) for t in read] + spread, dim=-1)


def cell_means(num_tokens: int) -> Tensor:
    """(C, T): the matrix that averages a square grid of tokens, row by row, over 3 x 3 cells; a grid below 3 x 3 repeats its tokens."""
    side = math.isqrt(num_tokens)
    of_cell = [[i for i in range(side) if i * CELLS_A_SIDE // side == c] or [min(c, side - 1)] for c in range(CELLS_A_SIDE)]
    means = torch.zeros(CELLS_A_SIDE**2, num_tokens)
    for cell in range(CELLS_A_SIDE**2):
        inside = [row * side + column for row in of_cell[cell // CELLS_A_SIDE] for column in of_cell[cell % CELLS_A_SIDE]]
        means[cell, inside] = 1 / len(inside)
    return means


def save_head(folder: Path, head: ScoreHead, own_trunk: SiglipVisionModel | None) -> None:
    """Keeps the head, and its own trunk where it has one, as safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({k: v.contiguous() for k, v in head.state_dict().items()}, folder / HEAD)
    if own_trunk is not None:
        safetensors.torch.save_file({k: v.contiguous() for k, v in own_trunk.state_dict().items()}, folder / TRUNK)
    (folder / ABOUT).write_text(json.dumps(asdict(head.shape), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_head(folder: Path) -> ScoreHead:
    """The head kept in a folder, in eval mode."""
    head = ScoreHead(HeadShape(**json.loads((folder / ABOUT).read_text(encoding="utf-8"))))
    head.load_state_dict(safetensors.torch.load_file(folder / HEAD))
    return head.eval()
