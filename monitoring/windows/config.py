"""How windows are read: `monitor.windows` of params.yaml."""

from typing import Annotated

from pydantic import Field, model_validator

from components.contract import Config

HOURS_A_DAY = 24


class WindowsConfig(Config):
    """A window of more than `sample_rows` rows is sampled; every segment keeps `segment_rows` of its own, if it has as many.

    Of each dimension the `max_values` largest values are segments, all others together are `other`. Below `min_rows` nothing is judged.
    Where more than `max_bad_share` of the rows is lost or cannot be used, the input is broken. `hole_rows`: an hour without rows is a hole
    where as many would have been expected. A day has `parts_a_day` parts; a week has its days.
    """

    sample_rows: int = Field(ge=100)
    segment_rows: int = Field(ge=10)
    max_values: int = Field(ge=1)
    min_rows: int = Field(ge=1)
    max_bad_share: Annotated[float, Field(gt=0, lt=1)]
    hole_rows: int = Field(ge=1)
    parts_a_day: int = Field(ge=1, le=HOURS_A_DAY)

    @model_validator(mode="after")
    def _in_whole_hours(self) -> "WindowsConfig":
        if HOURS_A_DAY % self.parts_a_day:
            raise ValueError(f"parts_a_day must divide {HOURS_A_DAY}, since rows are counted by the hour; found {self.parts_a_day}")
        return self
