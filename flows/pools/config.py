"""The `pools:` of params.yaml: how long a stage run may be silent, wait and transfer."""

from pydantic import Field

from components.contract import Config, bind, read_params

SECTION = "pools"


class PoolsConfig(Config):
    """Times in seconds. A run that gives no sign of life for lost_after_s counts as lost, and its stage is started again."""

    poll_s: float = Field(gt=0)
    beat_s: float = Field(gt=0)
    lost_after_s: float = Field(gt=0)
    begun_within_s: float = Field(gt=0)
    taken_within_s: float = Field(gt=0)
    away_s: float = Field(ge=0)
    transfer_s: int = Field(gt=0)
    transfer_tries: int = Field(ge=1)
    retry_wait_s: float = Field(ge=0)


def pools_config() -> PoolsConfig:
    """The workspace's. Raises BadParams or BadWorkspace."""
    return bind(PoolsConfig, SECTION, read_params())
