"""The knobs of `evaluate`, as params.yaml gives them."""

from pathlib import Path

from pydantic import Field, field_validator

from components.contract import Config
from components.evaluate.gates import GatesConfig
from components.evaluate.stable import StableConfig
from components.evaluate.table import DIFFERENCE, MODEL, STABLE

OWN_ROWS = (MODEL, STABLE, "untrained", "color_histogram", "random")


class EvaluateConfig(Config):
    """external_vectors: parquet files (item_id, vector), each a row named after its stem. min_quality_gap: in true quality, 0 to 1."""

    external_vectors: list[str]
    num_draws: int = Field(ge=20)
    seed: int = Field(ge=0)
    min_clusters: int = Field(ge=2)
    min_quality_gap: float = Field(ge=0, lt=1)
    max_quality_pairs: int = Field(ge=1)
    num_strips: int = Field(ge=0, le=20)
    stable: StableConfig
    gates: GatesConfig

    @field_validator("external_vectors")
    @classmethod
    def _stems_name_rows(cls, paths: list[str]) -> list[str]:
        stems = [Path(path).stem for path in paths]
        taken = [s for s in stems if s in OWN_ROWS or s.startswith(DIFFERENCE) or stems.count(s) > 1]
        if taken:
            raise ValueError(f"a file's stem names its row in the table, and {taken[0]!r} is taken: rename the file")
        return paths
