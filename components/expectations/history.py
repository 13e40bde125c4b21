"""Profiles of past snapshots, in data/history.json: the newest last, under Git, so that an old commit judges by what was known then."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from components.contract import Config, bind, read_params, write_json
from components.errors import BadData
from components.expectations.profile import Profile

SECTION = "validate"


class HistoryConfig(Config):
    """How bands are learnt. A band is the past's median plus or minus the larger of `spread_factor` robust standard deviations
    (1.4826 times the median absolute deviation) and its floor. Volume and prices are compared as ratios, so their floors are
    relative: 0.5 allows from two thirds to one and a half of the median. A mix may be `mix_factor` times as far from the past's mean
    mix as the past's own mixes are, or `mix_floor`, as half the sum of differences between shares, in [0, 1]."""

    min_snapshots: int = Field(ge=3)
    max_snapshots: int = Field(ge=3)
    spread_factor: float = Field(gt=0)
    volume_floor: float = Field(gt=0)
    null_share_floor: float = Field(gt=0)
    null_share_least: float = Field(gt=0, le=1)
    mix_factor: float = Field(ge=1)
    mix_floor: float = Field(gt=0, le=1)
    price_floor: float = Field(gt=0)
    min_priced: int = Field(gt=0)

    @model_validator(mode="after")
    def _can_be_reached(self) -> "HistoryConfig":
        if self.max_snapshots < self.min_snapshots:
            raise ValueError(f"max_snapshots is {self.max_snapshots}: no history could reach min_snapshots, {self.min_snapshots}")
        return self


def read_history(path: Path) -> list[Profile]:
    """The profiles kept at `path`. Raises BadData where it holds anything else."""
    try:
        return TypeAdapter(list[Profile]).validate_json(path.read_bytes())
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()[:3])
        raise BadData(
            f"{path} is no list of profiles ({found}): restore it with `git checkout`, or begin a new one that holds []"
        ) from None


def read_profile(path: Path) -> Profile:
    """The profile kept at `path`. Raises BadData where there is none."""
    try:
        return Profile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadData(f"{path} is no profile ({error.errors()[0]['msg']}): run `dvc repro validate`, which writes it") from None


def past_of(history: Sequence[Profile], source: str, as_of: datetime) -> list[Profile]:
    """The profiles of the same source from before `as_of`, oldest first: what a snapshot of that moment may be judged by."""
    return sorted((one for one in history if one.source == source and one.as_of < as_of), key=lambda one: one.as_of)


def appended(history: Sequence[Profile], profile: Profile, max_snapshots: int) -> list[Profile]:
    """The history with one more profile, by time: it takes the place of one of the same source and moment, and of each source the
    newest `max_snapshots` stay."""
    others = [one for one in history if (one.source, one.as_of) != (profile.source, profile.as_of)]
    by_source = sorted([*others, profile], key=lambda one: (one.source, one.as_of))
    newest = [one for _, group in groupby(by_source, key=lambda one: one.source) for one in list(group)[-max_snapshots:]]
    return sorted(newest, key=lambda one: (one.as_of, one.source))


def remember(profile: Path, history: Path) -> bool:
    """Adds the profile of the last validated snapshot to the history and says whether that changed it.

    Without a profile, that is before the first run or after one whose gates failed, nothing is added. `validate.history` in params.yaml
    says how many are kept.
    """
    if not profile.exists():
        return False
    knobs = bind(HistoryConfig, f"{SECTION}.history", {f"{SECTION}.history": read_params().get(SECTION, {}).get("history")})
    known = read_history(history) if history.exists() else []
    longer = appended(known, read_profile(profile), knobs.max_snapshots)
    if longer == known:
        return False
    write_json(partial := history.with_name(f".{history.name}.partial"), [one.model_dump(mode="json") for one in longer])
    partial.replace(history)
    return True
