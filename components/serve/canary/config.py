"""`serve.channel` of params.yaml."""

from typing import Annotated

from pydantic import Field

from components.contract import Config

Seconds = Annotated[float, Field(gt=0)]


class ChannelConfig(Config):
    """How a gateway follows the channel record, and how much of a candidate's shadow it works on at once."""

    poll_s: Seconds
    timeout_s: Seconds
    fetch_timeout_s: Seconds
    start_s: Seconds
    retry_s: Seconds
    max_retry_s: Seconds
    linger_s: Annotated[float, Field(ge=0)]
    max_shadows: Annotated[int, Field(ge=1)]
