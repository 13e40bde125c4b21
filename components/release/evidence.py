"""What the judge is given: counts of a platform's users on one rung, arm by arm. The unit is the user."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from components.release.channel import Arm


@dataclass(frozen=True)
class Sample:
    """Sums over the users of an arm, from which a ratio metric and its variance follow: its value is sum_x / sum_y.

    A user contributes x (such as taps) and y (such as pages shown); sum_xx, sum_xy and sum_yy are sums of products of one user's own.
    """

    num_users: int
    sum_x: float
    sum_y: float
    sum_xx: float
    sum_xy: float
    sum_yy: float

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))


EMPTY = Sample(0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Look:
    """A stratum (a group of platforms on one rung) as it stands at a time, since the rung began. `samples` are by metric and arm; `users`
    are all that the gateway answered in each arm, for the sample ratio, less those that it answered in both. `left_out` counts those and
    whatever else was not counted, by name."""

    group: str
    weight_percent: int
    since: dt.datetime
    at: dt.datetime
    users: Mapping[Arm, int]
    samples: Mapping[str, Mapping[Arm, Sample]]
    left_out: Mapping[str, int] = field(default_factory=dict)
