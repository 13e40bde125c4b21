"""The section `release:` of params.yaml."""

import itertools
from collections.abc import Mapping

from pydantic import Field, field_validator, model_validator

from components.contract import Config
from components.release.channel import FULL, PLATFORMS, Platform
from components.release.rules import JudgeConfig
from components.release.strata import CountingConfig


class ShadowConfig(Config):
    """What a release must show before any user sees it: `share` of requests are answered by both, and `min_compared` of them in each group
    decide on its errors, the neighbours that both give (0 to 1), and its latency over the stable release's."""

    share: float = Field(gt=0, le=1)
    min_compared: int = Field(ge=1)
    max_error_share: float = Field(ge=0, le=1)
    min_overlap: float = Field(ge=0, le=1)
    max_latency_ratio: float = Field(gt=0)


class LadderConfig(Config):
    """The rungs in percent of users, the time and the users (of the smaller arm) that each takes at least, and the soak at 100 %."""

    rungs: list[int]
    look_s: float = Field(gt=0)
    min_s: float = Field(ge=0)
    min_users: int = Field(ge=1)
    soak_users: int = Field(ge=1)
    approval: bool
    approval_timeout_s: float = Field(gt=0)
    gateway_timeout_s: float = Field(gt=0)

    @field_validator("rungs")
    @classmethod
    def _rises_to_all(cls, rungs: list[int]) -> list[int]:
        if not rungs or rungs[0] < 1 or rungs[-1] != FULL or any(low >= high for low, high in itertools.pairwise(rungs)):
            raise ValueError(f"rungs rise from 1 or more to {FULL}")
        return rungs

    def after(self, weight_percent: int) -> int:
        """The next rung; 100 stays."""
        return next((rung for rung in self.rungs if rung > weight_percent), FULL)


class NotifyConfig(Config):
    """Who is told beside the webhook of VITRINE_WEBHOOK_URL: `block` is a Prefect block that notifies, TYPE/NAME, or null."""

    block: str | None
    timeout_s: float = Field(gt=0)


class ReleaseConfig(Config):
    """Everything that a release is told. `registry` is a folder or s3://bucket/prefix, `gateways` the URLs of the replicas, `groups` the
    platforms that are judged together; the others stand above and in the parts' own files."""

    registry: str
    gateways: list[str]
    groups: Mapping[str, list[Platform]]
    shadow: ShadowConfig
    ladder: LadderConfig
    notify: NotifyConfig
    judge: JudgeConfig
    counting: CountingConfig

    @model_validator(mode="after")
    def _every_platform_once(self) -> "ReleaseConfig":
        named = [platform for group in self.groups.values() for platform in group]
        if sorted(named) != sorted(PLATFORMS):
            raise ValueError(f"groups: name each of {', '.join(PLATFORMS)} once; found {', '.join(named)}")
        return self

    @model_validator(mode="after")
    def _judges_what_it_climbs(self) -> "ReleaseConfig":
        climbed = [rung for rung in self.ladder.rungs if rung < FULL]
        judged = [rung.weight_percent for rung in self.judge.rungs]
        if climbed != judged:
            raise ValueError(f"judge.rungs: judge each rung of ladder.rungs below {FULL}, {climbed}; found {judged}")
        if set(self.judge.budget.groups) != set(self.groups):
            raise ValueError(f"judge.budget.groups: share out among {', '.join(self.groups)}; found {', '.join(self.judge.budget.groups)}")
        return self
