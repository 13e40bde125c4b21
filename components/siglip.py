"""SigLIP as Vitrine trains it: transformers' SiglipModel, with a convolutional stem where it starts from scratch.

A pretrained start keeps its plain patch embedding. From scratch on few photos a convolutional stem is worth more than attention
(docs/benchmarks.md), so a config whose vision part has `conv_stem` replaces the patch embedding by one.

Shape suffixes: B pictures, C channels, H x W pixels, T tokens, D hidden width.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase, SiglipConfig, SiglipModel
from transformers.utils import logging as transformers_logging

from components.errors import BadParams

transformers_logging.set_verbosity_error()  # it warns of its own defaults for the text tower, whatever the config says
transformers_logging.disable_progress_bar()


class ConvStem(nn.Module):
    """Tokens from pixels by strided convolutions: (B, 3, H, W) to (B, D, H/s, W/s), where s = 2 ** len(widths).

    Each step halves the side; a residual block follows all but the first. Batch normalisation is folded on export.
    """

    def __init__(self, widths: list[int], hidden: int) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for number, (before, after) in enumerate(zip([3, *widths[:-1]], widths, strict=True)):
            steps.append(_conv(before, after, stride=2))
            if number:
                steps.append(Residual(after))
        self.steps = nn.Sequential(*steps)
        self.out = nn.Conv2d(widths[-1], hidden, 1)

    @property
    def weight(self) -> Tensor:
        """The parameter whose dtype SiglipVisionEmbeddings casts pixels to."""
        return self.out.weight

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """(B, D, H/s, W/s)."""
        tokens: Tensor = self.out(self.steps(pixels_BCHW))
        return tokens


class Residual(nn.Module):
    """Two 3x3 convolutions with a skip, same shape in and out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """relu(x + body(x))."""
        return torch.relu(x + self.body(x))


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class Encoder(SiglipModel):
    """SiglipModel, its patch embedding replaced by a ConvStem where the vision config names `conv_stem` widths."""

    def __init__(self, config: SiglipConfig) -> None:
        super().__init__(config)
        vision: Any = config.vision_config
        if widths := getattr(vision, "conv_stem", None):
            stem = ConvStem(list(widths), vision.hidden_size)
            for module in stem.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            self.vision_model.embeddings.patch_embedding = stem

    @property
    def image_px(self) -> int:
        """Side of the square that the image tower reads, px."""
        return int(self.config.vision_config.image_size)  # type: ignore[union-attr]

    @property
    def width(self) -> int:
        """D: values in a vector before the projection, in either tower."""
        return int(self.config.vision_config.hidden_size)  # type: ignore[union-attr]

    @property
    def max_tokens(self) -> int:
        """T: tokens that titles are padded and cut to."""
        return int(self.config.text_config.max_position_embeddings)  # type: ignore[union-attr]


def from_scratch(config: SiglipConfig) -> Encoder:
    """An untrained Encoder with SigLIP's own starting temperature: log-scale log 10, bias -10 (Zhai et al. 2023, section 3.2)."""
    vision: Any = config.vision_config
    if vision.image_size % vision.patch_size:
        raise BadParams("finetune.scratch: image_px must be a multiple of the stem's stride")
    model = Encoder(config)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(10.0))
        model.logit_bias.fill_(-10.0)
    return model


def load_encoder(place: str | Path) -> Encoder:
    """The Encoder kept in a folder, or on the hub, from safetensors alone. Raises BadParams where there is none."""
    try:
        model: Any = Encoder.from_pretrained(str(place), use_safetensors=True)
    except (OSError, ValueError) as error:
        raise BadParams(f"no SigLIP checkpoint at {place}: {error}") from None
    encoder: Encoder = model.eval()
    return encoder


def load_tokenizer(place: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer kept beside a checkpoint."""
    return AutoTokenizer.from_pretrained(str(place))


def image_vectors(model: SiglipModel, pixels_BCHW: Tensor) -> Tensor:
    """(B, D) unit-length image vectors."""
    return nn.functional.normalize(model.get_image_features(pixel_values=pixels_BCHW).pooler_output, dim=-1)


def text_vectors(model: SiglipModel, tokens_BT: Tensor) -> Tensor:
    """(B, D) unit-length text vectors; titles are padded to the full length, since SigLIP pools the last token."""
    return nn.functional.normalize(model.get_text_features(input_ids=tokens_BT).pooler_output, dim=-1)


def tokenise(tokenizer: PreTrainedTokenizerBase, titles: list[str], max_tokens: int) -> Tensor:
    """(B, max_tokens) token ids."""
    batch: Any = tokenizer(titles, padding="max_length", truncation=True, max_length=max_tokens, return_tensors="pt")
    ids: Tensor = batch["input_ids"]
    return ids
