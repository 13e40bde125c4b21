"""What the page shows, and where it and Evidently's workspace lie, in folders or at s3://bucket/prefix: `monitor.report` of params.yaml."""

from pydantic import Field, field_validator

from components.contract import Config


class PicturesConfig(Config):
    """How many photos a sheet shows; they are looked for in the store's uploads of `days` days before the window, `max_mib` of files."""

    a_sheet: int = Field(ge=1, le=16)
    days: int = Field(ge=0)
    max_mib: float = Field(ge=0)


class EvidentlyConfig(Config):
    """The workspace holds `num_windows` runs of each kind of window, each with `num_series` series of its own beside the largest of each
    detector, and Evidently's own metrics on `max_rows` rows of either window."""

    workspace: str
    num_windows: int = Field(ge=1)
    num_series: int = Field(ge=1, le=200)
    max_rows: int = Field(ge=50, le=1000)


class ReportConfig(Config):
    """`runbook_url` is where docs/runbook.md can be read; where it is empty, pages name its sections."""

    folder: str
    runbook_url: str
    num_windows: int = Field(ge=1, le=120)
    num_series: int = Field(ge=1, le=100)
    pictures: PicturesConfig
    evidently: EvidentlyConfig

    @field_validator("runbook_url")
    @classmethod
    def _web(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("is to begin with https:// or http://, or to be empty")
        return url
