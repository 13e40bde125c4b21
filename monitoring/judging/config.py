"""The knobs of the verdict: `monitor.verdict` of params.yaml."""

import difflib
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from components.contract import Config
from monitoring.detectors.registry import DETECTORS
from monitoring.judging.steps import STEPS
from monitoring.window import DIMENSIONS

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class FollowConfig(Config):
    """How a forecast follows one kind of window. The level forgets half in `half_life` windows, and is learnt anew in `level_windows`.
    Spreads and tails come from the last `num_windows`; with fewer than `least_windows` of them nothing is judged. With `from_start`,
    a window is compared with the first `level_windows` of the release, so that what creeps is seen. Effects must be `effect_times` as
    large as for days."""

    half_life: Positive
    from_start: bool
    effect_times: Positive
    level_windows: Count
    num_windows: Count
    least_windows: int = Field(ge=8)

    @property
    def num_past(self) -> int:
        """Windows before the judged one that are looked at: those behind spreads and tails, and before them what levels and weekdays are
        first learnt from."""
        return self.num_windows + 3 * self.level_windows


KNOWN = frozenset({*DETECTORS, *STEPS})


def _known(name: str) -> str:
    """The same. Raises ValueError where it is neither a detector nor one in a dimension."""
    detector, slash, dimension = name.partition("/")
    if detector in KNOWN and (not slash or dimension in DIMENSIONS):
        return name
    near = difflib.get_close_matches(detector, sorted(KNOWN), n=1)
    hint = f"; did you mean {near[0]!r}?" if near and near[0] != detector else f"; dimensions: {', '.join(DIMENSIONS)}"
    raise ValueError(f"no detector is called so, nor one in a dimension, as segment_share/platform{hint}")


def _complete(effects: Mapping[str, float]) -> Mapping[str, float]:
    """The same. Raises ValueError where a detector has no least effect."""
    if missing := sorted(KNOWN - effects.keys()):
        raise ValueError(f"every detector needs one; missing: {', '.join(missing)}")
    return effects


class VerdictConfig(Config):
    """When what was measured is a reason to call somebody; see docs/drift.md, "Verdict".

    `min_effect` by detector, in its own unit: what moved less is no more than watched; `detector/dimension` where segments of a dimension
    have another. A finding lasts where `min_parts` parts of the window moved the same way, each as far as one part in
    10^`part_surprise` does in a quiet shop, and `part_share` of what a part of an even step would show. What is asked once a window has
    no parts: there an effect `sure` times the least will do, or two windows in a row. Of segments with less than `min_share` of the rows
    their share alone is judged.
    """

    day: FollowConfig
    hour: FollowConfig
    week: FollowConfig
    min_parts: Count
    part_surprise: Positive
    part_share: float = Field(ge=0, le=1)
    min_share: float = Field(ge=0, lt=1)
    sure: float = Field(ge=1)
    max_snooze_days: Count
    min_effect: Annotated[dict[Annotated[str, AfterValidator(_known)], Positive], AfterValidator(_complete)]

    def effect_of(self, detector: str, segment: str) -> float:
        """The least effect that matters."""
        return self.min_effect.get(f"{detector}/{segment.partition('=')[0]}", self.min_effect[detector])
