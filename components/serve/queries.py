"""What one request may ask for."""

from pydantic import Field

from components.contract import Config


class Queries(Config):
    """Bounds of one request. `body_timeout_s` is for a body to arrive whole, `timeout_s` for its answer."""

    max_body_mib: int = Field(ge=1)
    max_picture_mib: int = Field(ge=1)
    max_batch: int = Field(ge=1)
    max_events: int = Field(ge=1)
    max_k: int = Field(ge=1)
    max_text_chars: int = Field(ge=1)
    body_timeout_s: float = Field(gt=0)
    timeout_s: float = Field(gt=0)
