"""The knobs of validate_vectors."""

from pydantic import Field

from components.contract import Config


class ValidateVectorsConfig(Config):
    """Limits of the gates. Shares and scores lie in [0, 1], cosines in [-1, 1]."""

    min_items: int = Field(gt=1)
    max_norm_error: float = Field(gt=0)
    num_random_pairs: int = Field(gt=0)
    seed: int
    max_mean_cosine: float = Field(gt=-1, le=1)
    max_identical_share: float = Field(ge=0, le=1)
    min_score_spread: float = Field(ge=0)
