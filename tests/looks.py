"""Looks for tests of the judge: counts of users who each have 0 or 1 of x in one of y, or whatever is given."""

import datetime as dt
from collections.abc import Mapping

from components.contract import bind, read_params
from components.release.evidence import Look, Sample
from components.release.rules import JudgeConfig
from tests.conftest import PROJECT

START = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
STABLE = {
    "error_share": 0.001,
    "slow_share": 0.01,
    "empty_share": 0.01,
    "score_shift": 0.10,
    "seller_share": 0.80,
    "tap_rate": 0.03,
    "purchase_rate": 0.006,
}


def make_config(**changes: object) -> JudgeConfig:
    """The judge of params.yaml, with changes."""
    told = read_params(PROJECT / "params.yaml")["release"]["judge"]
    return bind(JudgeConfig, "judge", {"judge": told | changes})


def make_sample(num_users: int, num_with: float) -> Sample:
    """One page a user."""
    return Sample(num_users, num_with, num_users, num_with, num_with, num_users)


def make_look(
    canary_users: int, weight: int = 25, minute: int | None = None, *, group: str = "web", stable_users: int | None = None, **canary: object
) -> Look:
    """A look at which the canary has the stable release's values, but for those given: a value, None for no data at all, or both Samples by
    arm. It is taken in the minute that the canary's users number, where no other is given."""
    others = round(canary_users * (100 - weight) / weight) if stable_users is None else stable_users
    samples = {}
    for name, rate in STABLE.items():
        given = canary.get(name, rate)
        if isinstance(given, Mapping):
            samples[name] = dict(given)
        elif given is not None:
            samples[name] = {
                "stable": make_sample(others, others * rate),
                "canary": make_sample(canary_users, canary_users * float(str(given))),
            }
    at = START + dt.timedelta(minutes=canary_users if minute is None else minute)
    return Look(group, weight, START, at, {"stable": others, "canary": canary_users}, samples)
