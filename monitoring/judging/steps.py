"""Detectors that need no reference, since they look at where recent windows lay: how far the mean of a segment's rows stepped, with sign.

A distance from an old reference has no direction: photos that were brighter than the reference and turn darker come nearer to it first.
"""

from dataclasses import dataclass

from monitoring.detectors.means import COMPONENT, MISSED
from monitoring.measured import Family

MEAN = "mean_"
PROFILE = "profile"
ROWS = "rows"
SHARE = "segment_share"


@dataclass(frozen=True)
class Step:
    """A detector of steps: what it looks at, and in words."""

    name: str
    family: Family
    words: str


def _step(feature: str, family: Family, words: str) -> Step:
    return Step(MEAN + feature, family, words)


STEPS = {
    step.name: step
    for step in (
        _step("image_score", Family.SCORE, "score"),
        _step("brightness", Family.INPUTS, "brightness"),
        _step("sharpness", Family.INPUTS, "sharpness"),
        _step("text_share", Family.INPUTS, "lettering"),
        _step("size", Family.INPUTS, "log2 of the picture's side"),
        _step("aspect", Family.INPUTS, "log2 of width over height"),
        _step(MISSED, Family.EMBEDDING, "reconstruction error"),
        Step(PROFILE, Family.EMBEDDING, "all means together"),
    )
}


def is_mean(name: str) -> bool:
    """Whether a series is the mean of a feature."""
    return name.startswith(MEAN)


def is_component(name: str) -> bool:
    """Whether a series is one coordinate of the mean vector, which is judged with the others only."""
    return name.startswith(MEAN + COMPONENT)
