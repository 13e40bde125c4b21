"""What a detector found in a segment of a window."""

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """What a detector looks at."""

    EMBEDDING = "embedding"
    SCORE = "score"
    LABELS = "labels"
    INPUTS = "inputs"
    HEALTH = "health"


@dataclass(frozen=True)
class Measured:
    """A detector's value in a segment: how far the current window lies from the reference, in the detector's own unit; larger is farther.

    `effect` says it in words that a person can weigh, such as `brightness -0.08`. `num_reference` and `num_current` are rows compared.
    """

    detector: str
    family: Family
    segment: str
    value: float
    effect: str
    num_reference: int
    num_current: int
