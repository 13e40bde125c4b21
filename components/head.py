"""The Image Score's head: one number a photo from the patch tokens of several trunk layers, before they are pooled.

Shape suffixes: B photos, L layers read, T tokens, D trunk width, F = 2 L D features.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import SiglipVisionModel

HEAD, ABOUT, TRUNK = "head.safetensors", "head.json", "trunk.safetensors"


@dataclass(frozen=True)
class HeadShape:
    """What it takes to build the head again. Layer 0 is the stem's output, layer i the i-th block's."""

    layers: list[int]
    trunk_width: int
    hidden: int
    own_trunk: bool


class ScoreHead(nn.Module):
    """A small perceptron over each layer's mean and spread of tokens: (B, F) features to (B,) logits, higher is better."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        features = 2 * len(shape.layers) * shape.trunk_width
        self.body = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, shape.hidden), nn.GELU(), nn.Linear(shape.hidden, 1))

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
    """(B, F): mean and standard deviation over tokens of each layer read. Spread is what blur and glare take away."""
    read = [kept[i] for i in layers]
    spread = [((t - t.mean(dim=1, keepdim=True)).square().mean(dim=1) + 1e-6).sqrt() for t in read]
    return torch.cat([t.mean(dim=1) for t in read] + spread, dim=-1)


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
