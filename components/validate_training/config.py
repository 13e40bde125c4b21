"""The knobs of validate_training."""

from pydantic import Field

from components.contract import Config


class ValidateTrainingConfig(Config):
    """Limits of the gates. Shares lie in [0, 1]."""

    min_listings: int = Field(gt=0)
    min_train_share: float = Field(ge=0, le=1)
    min_held_out_share: float = Field(ge=0, le=1)
    max_held_out_share: float = Field(ge=0, le=1)
    min_pairs: int = Field(gt=0)
    max_price_ratio: float = Field(ge=1)
    max_weight: float = Field(ge=1)
    max_repeated_pair_share: float = Field(ge=0, le=1)
    max_cannot_judge_share: float = Field(ge=0, le=1)
    max_tie_share: float = Field(ge=0, le=1)
    max_first_chosen_share: float = Field(ge=0.5, le=1)
    min_order_agreement_share: float = Field(ge=0, le=1)
