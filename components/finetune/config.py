"""The knobs of the training loop."""

from typing import Literal

from pydantic import Field

from components.contract import Config
from components.finetune.augment import AugmentConfig


class TrainConfig(Config):
    """How the encoder is trained. An epoch is a pass over the photos, or several where they are few: `min_steps_an_epoch` steps.

    `batch_size` is that of all processes together. `threads`, of each, is part of the result: sums over other numbers round differently.
    `rank_timeout_s`, for which a process waits for the others, is not.
    """

    epochs: int = Field(ge=1)
    min_steps_an_epoch: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    text_learning_rate: float = Field(gt=0)
    temperature_learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_share: float = Field(ge=0, le=1)
    max_grad_norm: float = Field(gt=0)
    patience_epochs: int = Field(ge=1)
    duplicate_distance: int = Field(ge=0, le=64)
    freeze_text: bool
    precision: Literal["fp32", "bf16", "fp16"]
    checkpoint_every_steps: int = Field(ge=1)
    rank_timeout_s: int = Field(ge=1)
    threads: int = Field(ge=1)
    seed: int
    augment: AugmentConfig
