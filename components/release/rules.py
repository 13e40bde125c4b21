"""The section `release.judge:` of params.yaml: what the judge asks, and how often it may err."""

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from components.contract import Config
from components.errors import BadParams


class Metric(Config):
    """A question of non-inferiority. `margin` is the harm that is still borne: in the metric's own unit, or, where `relative`, as a share
    of the stable release's value; `by_group` gives groups another. A guardrail must not be worse than its margin, on every rung; a success
    metric is judged on the upper rungs, and a candidate that is shown worse at all returns."""

    kind: Literal["guardrail", "success"]
    better: Literal["lower", "higher"]
    margin: float = Field(gt=0, allow_inf_nan=False)
    relative: bool
    by_group: Mapping[str, float]

    @model_validator(mode="after")
    def _leaves_something(self) -> "Metric":
        for margin in (self.margin, *self.by_group.values()):
            if not 0 < margin < math.inf or (self.relative and self.better == "higher" and margin >= 1):
                raise ValueError(f"a margin is above 0, and below 1 as a share that may be lost; found {margin}")
        return self

    def margin_in(self, group: str) -> float:
        """Above 0: how much worse the candidate may be."""
        return self.by_group.get(group, self.margin)


class Rung(Config):
    """A rung that is judged. `horizon_users` are users of the smaller arm by which there is a verdict or the ladder holds; null: no such
    number is known, and the looks are judged by bounds that hold at any time."""

    weight_percent: int = Field(ge=1, le=99)
    horizon_users: int | None = Field(ge=2)


class Budget(Config):
    """Chances of a wrong verdict on a release, over every look, metric, rung and group: that one passes which harms by a margin, that one
    returns which is as good as the stable release, that a sound split of users is called a mismatch. `groups` share them out."""

    pass_share: float = Field(gt=0, lt=0.5)
    fail_share: float = Field(gt=0, lt=0.5)
    mismatch_share: float = Field(gt=0, lt=0.5)
    late_share: float = Field(gt=0, lt=1)
    groups: Mapping[str, float]

    @field_validator("groups")
    @classmethod
    def _no_more_than_all(cls, groups: Mapping[str, float]) -> Mapping[str, float]:
        if not groups or not all(share > 0 for share in groups.values()) or sum(groups.values()) > 1 + 1e-9:
            raise ValueError(f"each group has a share above 0 and all have 1 at most; found {dict(groups)}")
        return groups


class JudgeConfig(Config):
    """What is judged where. `growth` is the factor by which the smaller arm grows between two analyses, `pass_power` and `fail_power` how a
    budget is spent over a rung (docs/release.md), `prior_users` how many users' worth of doubt a variance starts with, `focus_users` where
    bounds without a horizon are tightest, and `ratio_users` the smallest samples whose ratio of users is judged sharply."""

    metrics: Mapping[str, Metric]
    success_from_percent: int = Field(ge=1, le=99)
    rungs: list[Rung]
    budget: Budget
    min_users: int = Field(ge=2)
    growth: float = Field(ge=1.05, le=10)
    pass_power: float = Field(gt=0, le=10)
    fail_power: float = Field(gt=0, le=10)
    prior_users: float = Field(ge=1)
    focus_users: int = Field(ge=2)
    ratio_users: float = Field(ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> "JudgeConfig":
        weights = [rung.weight_percent for rung in self.rungs]
        if not weights or weights != sorted(set(weights)):
            raise ValueError(f"rungs: their weights rise; found {weights}")
        if short := [rung.horizon_users for rung in self.rungs if rung.horizon_users is not None and rung.horizon_users < self.min_users]:
            raise ValueError(f"rungs: a horizon of {short[0]} users is below min_users, {self.min_users}")
        if not any(metric.kind == "guardrail" for metric in self.metrics.values()):
            raise ValueError("metrics: name a guardrail, or the first rungs would ask nothing")
        named = {group for metric in self.metrics.values() for group in metric.by_group}
        if unknown := sorted(named - set(self.budget.groups)):
            raise ValueError(f"metrics: by_group names {unknown[0]}, which has no share in budget.groups: {', '.join(self.budget.groups)}")
        return self

    def rung(self, weight_percent: int) -> Rung:
        """Raises BadParams where that weight is not judged."""
        for rung in self.rungs:
            if rung.weight_percent == weight_percent:
                return rung
        weights = ", ".join(str(rung.weight_percent) for rung in self.rungs)
        raise BadParams(f"release.judge.rungs has no rung of {weight_percent} %: it has {weights}; give it one with its horizon")

    def share_of(self, group: str) -> float:
        """The group's part of each budget, in (0, 1]. Raises BadParams where it has none."""
        if group not in self.budget.groups:
            raise BadParams(f"release.judge.budget.groups has no share for {group!r}: it has {', '.join(self.budget.groups)}")
        return self.budget.groups[group]

    def asked_at(self, weight_percent: int) -> dict[str, Metric]:
        """The metrics that decide on a rung: guardrails everywhere, success metrics from success_from_percent on."""
        with_success = weight_percent >= self.success_from_percent
        return {name: metric for name, metric in self.metrics.items() if with_success or metric.kind == "guardrail"}
