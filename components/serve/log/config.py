"""`serve.log` of params.yaml."""

from typing import Annotated

from pydantic import Field

from components.contract import Config
from components.ingest.window import CLOCK_SLACK

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class LogConfig(Config):
    """How events and predictions are kept and flushed. No clock may be further ahead than ingest forgives: it would turn the row away."""

    flush_mib: Annotated[float, Field(gt=0)]
    flush_s: Seconds
    canary_flush_s: Seconds
    retry_s: Seconds
    max_retry_s: Seconds
    close_s: Seconds
    max_waiting: Count
    max_backlog_mib: Annotated[float, Field(gt=0)]
    max_prediction_backlog_mib: Annotated[float, Field(gt=0)]
    max_answer_backlog_mib: Annotated[float, Field(gt=0)]
    remember_days: Count
    max_remembered: Count
    max_clock_skew_s: Annotated[float, Field(ge=0, le=CLOCK_SLACK.total_seconds())]
    max_age_days: Count
    prediction_share: Annotated[float, Field(ge=0, le=1)]
