"""The knobs of the detectors: `monitor.detectors` of params.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from components.contract import Config


class DetectorsConfig(Config):
    """`block` is what moves as one when MMD's permutations shuffle rows: a day's rows of one seller, or of one hour, are alike."""

    min_rows: int = Field(ge=2)
    num_components: int = Field(ge=1)
    num_folds: int = Field(ge=2)
    ridge: float = Field(gt=0)
    num_features: int = Field(ge=2)
    bandwidth_rows: int = Field(ge=2)
    block: Literal["seller", "hour"]
    num_blocks: int = Field(ge=8)
    num_permutations: int = Field(ge=1)
    num_bins: int = Field(ge=2)

    @model_validator(mode="after")
    def _in_pairs(self) -> "DetectorsConfig":
        if self.num_features % 2:
            raise ValueError(f"num_features must be even, a cosine and a sine for each frequency, found {self.num_features}")
        return self
