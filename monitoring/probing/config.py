"""`monitor.probing` of params.yaml."""

from typing import Annotated

from pydantic import Field

from components.contract import Config

Count = Annotated[int, Field(ge=1)]
Some = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]


class ProbingConfig(Config):
    """What one probing asks of the gateway at `address`, and with how much patience. A picture or an item is a row."""

    address: Annotated[str, Field(pattern="^https?://")]
    seed: int
    num_anchors: Some
    num_upserts: Some
    num_copies: Some
    lately_share: Annotated[float, Field(ge=0, le=1)]
    lately_hours: Annotated[float, Field(gt=0, le=168)]
    num_probes: Some
    rows_per_s: Annotated[float, Field(gt=0, le=1000)]
    timeout_s: Seconds
    max_tries: Count
    retry_wait_s: Seconds
    max_wait_s: Seconds
    max_unanswered: Count
    limit_s: Seconds
