"""Random views of a batch of photos, made on the device that trains."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from components.contract import Config


class AugmentConfig(Config):
    """How far a view may be from its photo. Shares are of the range of pixel values, [-1, 1]."""

    min_area_share: float = Field(gt=0, le=1)
    max_aspect: float = Field(ge=1)
    contrast: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0, le=1)
    tint: float = Field(ge=0, le=1)


def augment(pixels_BCHW: Tensor, cfg: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Same shape: each photo cropped, stretched, perhaps mirrored, and changed a little in contrast, brightness and tint.

    All draws come from `generator`, a CPU one, so that a resumed run sees the same views.
    """
    views = grid_sample(
        pixels_BCHW,
        affine_grid(_crops(len(pixels_BCHW), cfg, generator).to(pixels_BCHW.device), list(pixels_BCHW.shape), align_corners=False),
        padding_mode="reflection",
        align_corners=False,
    )
    contrast, brightness = _draw(generator, len(views), 1, cfg.contrast), _draw(generator, len(views), 1, cfg.brightness)
    tint = _draw(generator, len(views), 3, cfg.tint)
    return (views * (1 + contrast.to(views)) + (brightness + tint).to(views)).clamp(-1, 1)


def _draw(generator: torch.Generator, count: int, channels: int, reach: float) -> Tensor:
    return (torch.rand(count, channels, 1, 1, generator=generator) * 2 - 1) * reach


def _crops(count: int, cfg: AugmentConfig, generator: torch.Generator) -> Tensor:
    """(B, 2, 3) maps from view to photo: a window of random area, aspect and place, mirrored for half of them."""
    u = torch.rand(count, 5, generator=generator)
    side = (cfg.min_area_share + (1 - cfg.min_area_share) * u[:, 0]).sqrt()
    stretch = cfg.max_aspect ** (u[:, 1] - 0.5)
    wide, high = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = torch.where(u[:, 4] < 0.5, -wide, wide)
    maps[:, 1, 1] = high
    maps[:, 0, 2] = (2 * u[:, 2] - 1) * (1 - wide)
    maps[:, 1, 2] = (2 * u[:, 3] - 1) * (1 - high)
    return maps
