"""The knobs of label."""

import math
from typing import Literal

from pydantic import Field, model_validator

from components.contract import Config


class SplitShares(Config):
    """How the judged pairs are spread over the splits, as shares in [0, 1]."""

    train: float = Field(ge=0, le=1)
    val: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> "SplitShares":
        if not math.isclose(total := self.train + self.val + self.test, 1, abs_tol=1e-6):
            raise ValueError(f"the three shares must add up to 1, found {total:g}")
        return self


class LabelConfig(Config):
    """`max_calls`, `concurrency`, `max_retries`, `retry_wait_s` and `timeout_s` say how to ask and never change an answer kept."""

    judge: Literal["heuristic", "openai"]
    max_pairs: int = Field(ge=0)
    split_shares: SplitShares
    image_px: int = Field(ge=64, le=2048)
    tie_margin: float = Field(ge=0, lt=1)
    model: str = Field(min_length=1)
    show_query: bool
    temperature: float | None = Field(ge=0, le=2)
    max_answer_tokens: int = Field(gt=0)
    max_calls: int = Field(ge=0)
    concurrency: int = Field(ge=1, le=64)
    max_retries: int = Field(ge=0, le=20)
    retry_wait_s: float = Field(ge=0)
    timeout_s: float = Field(gt=0)
