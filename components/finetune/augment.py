"""Random views of a batch of photos, made on the device that trains."""

from typing import NamedTuple

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


class Views(NamedTuple):
    """What was drawn for B photos: maps from view to photo (B, 2, 3), contrast (B, 1, 1, 1), brightness with tint (B, 3, 1, 1)."""

    maps: Tensor
    contrast: Tensor
    shift: Tensor

    def of_rows(self, rows: slice) -> "Views":
        """The draws of some of the photos."""
        return Views(*(part[rows] for part in self))


def draw_views(count: int, cfg: AugmentConfig, generator: torch.Generator) -> Views:
    """A view for each photo of a whole batch. All draws come from `generator`, a CPU one: a resumed run sees the same views, and so do
    several processes that share a batch."""
    maps = _crops(count, cfg, generator)
    contrast, brightness = _draw(generator, count, 1, cfg.contrast), _draw(generator, count, 1, cfg.brightness)
    return Views(maps, contrast, brightness + _draw(generator, count, 3, cfg.tint))


def augment(pixels_BCHW: Tensor, views: Views) -> Tensor:
    """Same shape: each photo cropped, stretched, perhaps mirrored, and changed a little in contrast, brightness and tint."""
    grid = affine_grid(views.maps.to(pixels_BCHW.device), list(pixels_BCHW.shape), align_corners=False)
    seen = grid_sample(pixels_BCHW, grid, padding_mode="reflection", align_corners=False)
    return (seen * (1 + views.contrast.to(seen)) + views.shift.to(seen)).clamp(-1, 1)


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
