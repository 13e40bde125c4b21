"""The knobs of validate."""

from pydantic import Field

from components.contract import Config
from components.expectations.history import HistoryConfig


class ValidateConfig(Config):
    """Limits of the gates. Shares lie in [0, 1]; ages are days between the newest listing and the newest impression."""

    min_listings: int = Field(gt=0)
    max_price: float = Field(gt=0)
    max_listing_age_days: float = Field(ge=0)
    max_listing_ahead_days: float = Field(ge=0)
    near_blank_contrast: float = Field(ge=0, le=0.5)
    max_near_blank_share: float = Field(ge=0, le=1)
    max_near_duplicate_share: float = Field(ge=0, le=1)
    max_unknown_item_share: float = Field(ge=0, le=1)
    min_impressions: int = Field(gt=0)
    min_click_through: float = Field(ge=0, le=1)
    max_click_through: float = Field(ge=0, le=1)
    max_quarantine_share: float = Field(ge=0, le=1)
    history: HistoryConfig
