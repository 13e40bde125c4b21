"""What is counted apart: a group of platforms on one rung of a release's climb. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, field_validator

from components.contract import Config
from components.release.channel import Channel, Lane, Platform, Step

Trial = tuple[str, str, dt.datetime]


class CountingConfig(Config):
    """What counts. `attribution_s` is how long after its answer an act may come; `min_baseline_answers` of the stable release in a group's
    shadow freeze its baseline: `slow_quantile` of their latencies, and the `score_band` between two quantiles of their Image Scores.
    `readers` is how many files are fetched at once."""

    attribution_s: float = Field(gt=0)
    min_baseline_answers: int = Field(ge=1)
    slow_quantile: float = Field(gt=0, lt=1)
    score_band: list[float]
    readers: int = Field(ge=1, le=64)

    @field_validator("score_band")
    @classmethod
    def _is_a_band(cls, band: list[float]) -> list[float]:
        if len(band) != 2 or not 0 < band[0] < band[1] < 1:
            raise ValueError("a band has two shares, as [0.05, 0.95]")
        return band


@dataclass(frozen=True)
class Limits:
    """Frozen in the shadow: an answer of `latency_ms` or more is slow; an Image Score below `score_low` or above `score_high` lies
    outside."""

    latency_ms: float
    score_low: float
    score_high: float


@dataclass(frozen=True)
class Stratum:
    """All that decides which rows count, so that the same files give the same counts: whoever has the files can count again.

    The answers that count are those of `candidate_id` against `stable_id`, under test since `proposed`, on `platforms`, while these had
    `weight_percent`, from `since` on; of what shoppers did, that which came within `attribution_s` of its answer. Weight 0 is the shadow.
    Without `limits` slow answers and the spread of scores are not counted.
    """

    candidate_id: str
    stable_id: str
    proposed: dt.datetime
    group: str
    platforms: tuple[Platform, ...]
    weight_percent: int
    since: dt.datetime
    attribution_s: float
    limits: Limits | None = None

    @property
    def trial(self) -> Trial:
        """The candidate, what it is compared with, and since when."""
        return self.candidate_id, self.stable_id, self.proposed

    @property
    def is_shadow(self) -> bool:
        """Whether no user sees the candidate yet."""
        return self.weight_percent == 0


def strata_of(
    channel: Channel, groups: Mapping[str, Sequence[Platform]], limits: Mapping[str, Limits], attribution_s: float
) -> tuple[Stratum, ...]:
    """A stratum for each group and weight that it has, in order; none without a candidate, and none of platforms that were returned.

    Platforms of a group that have one weight count together, from when the last of them got it. `limits` are by group.
    """
    if channel.candidate is None or channel.stable is None:
        return ()
    found = []
    for group, platforms in groups.items():
        for weight, lanes in _by_weight(channel.candidate.lanes, platforms).items():
            since = max(lane.since for lane in lanes.values())
            names = tuple(lanes)
            trial = (channel.candidate.release_id, channel.stable, channel.candidate.since)
            found.append(Stratum(*trial, group, names, weight, since, attribution_s, limits.get(group) if weight else None))
    return tuple(found)


def _by_weight(lanes: Mapping[Platform, Lane], platforms: Sequence[Platform]) -> dict[int, dict[Platform, Lane]]:
    standing = {name: lanes[name] for name in platforms if lanes[name].step is not Step.RETURNED}
    weights = sorted({lane.weight_percent for lane in standing.values()})
    return {weight: {name: lane for name, lane in standing.items() if lane.weight_percent == weight} for weight in weights}
