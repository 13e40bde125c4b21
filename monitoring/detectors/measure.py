"""Every detector in every segment of a window, against the reference."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from monitoring.detectors.config import DetectorsConfig
from monitoring.detectors.means import NO_SCALE, Scale, means
from monitoring.detectors.pair import Pair
from monitoring.detectors.part import Part, Placed
from monitoring.detectors.registry import DETECTORS, Detector
from monitoring.detectors.rows import Rows, same_width
from monitoring.detectors.space import Space
from monitoring.detectors.sums import Sums
from monitoring.detectors.threads import one_thread
from monitoring.extras import Extras
from monitoring.measured import Measured
from monitoring.window import ALL, Window

log = logging.getLogger("vitrine")

NO_ROWS = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Baseline:
    """A reference made ready once, for every window that is compared with it."""

    rows: Rows
    space: Space | None
    parts: Mapping[str, Part]
    cfg: DetectorsConfig
    seed: int

    @classmethod
    @one_thread()
    def of(cls, reference: Window, cfg: DetectorsConfig, seed: int, space: Space | None = None) -> "Baseline":
        """The reference's rows, segments and vector space. `space` where it was fitted on more rows than the window's sample."""
        rows = Rows.of(reference, {}, cfg, seed)
        space = space or rows.space(cfg, seed)
        return cls(rows, space, _parts(rows, space, cfg), cfg, seed)

    @cached_property
    def scale(self) -> Scale:
        """What a row's features are measured by."""
        return Scale.of(self.parts[ALL])

    def part(self, segment: str) -> Part:
        """The reference's rows in the segment, which may be none. Where it knows that dimension of no row at all, every row may be of
        that segment: held-out items were not shown on any platform."""
        dimension = segment.partition("=")[0]
        unknown = segment != ALL and not len(self.rows.word[dimension].words)
        return self.parts[ALL] if unknown else self.parts.get(segment, replace(self.parts[ALL], index=NO_ROWS))


@dataclass(frozen=True)
class Comparison:
    """What the detectors found, and why segments were left out, in words, by segment: of those only the share of the rows is measured.

    `num_rows` is how many rows of the log each segment has, by weight. `means` holds of each segment with enough rows of its own the mean
    of each feature, (F,), in order of `scale.names`.
    """

    found: list[Measured]
    left_out: Mapping[str, str]
    num_rows: Mapping[str, float] = field(default_factory=dict)
    scale: Scale = NO_SCALE
    means: Mapping[str, np.ndarray] = field(default_factory=dict)


def measure(
    reference: Window, current: Window, extras_reference: Extras, extras_current: Extras, cfg: DetectorsConfig, seed: int
) -> list[Measured]:
    """What every detector found in `all` and in every segment with enough rows in both windows; of other segments their share of the rows.

    Raises BadData where the windows' vectors differ in width.
    """
    return compare(Baseline.of(reference, cfg, seed), current, extras_reference, extras_current).found


@one_thread()
def compare(
    baseline: Baseline,
    current: Window,
    extras_reference: Extras,
    extras_current: Extras,
    whole: tuple[Sums, Sums] | None = None,
) -> Comparison:
    """As `measure`, against a reference made ready. `whole` are the sums over every row of the reference and of the current window's log,
    in place of those over the sample, for `all`."""
    began = time.monotonic()
    rows = Rows.of(current, baseline.rows.vocabulary, baseline.cfg, baseline.seed)
    same_width(baseline.rows, rows)
    parts = _parts(rows, baseline.space, baseline.cfg)
    found: list[Measured] = []
    for segment in (ALL, *sorted(parts.keys() - {ALL})):
        before, now = baseline.part(segment), parts[segment]
        sums = whole if whole and segment == ALL else (before.sums, now.sums)
        found += _found(Pair(segment, before, now, sums, (extras_reference, extras_current), baseline.cfg, baseline.seed))
    left_out = _left_out(baseline, parts)
    seconds = time.monotonic() - began
    log.info("drift: %d rows, %d values, %d segments left out, %.2f s", len(rows.weight_N), len(found), len(left_out), seconds)
    enough = [segment for segment, part in parts.items() if len(part.index) >= baseline.cfg.min_rows]
    num_rows = {segment: float(part.weight.sum()) for segment, part in parts.items()}
    return Comparison(found, left_out, num_rows, baseline.scale, means(baseline.scale, parts, enough))


def _parts(rows: Rows, space: Space | None, cfg: DetectorsConfig) -> dict[str, Part]:
    placed = None if space is None else Placed.of(rows, space)
    return {segment: Part(rows, placed, index, cfg) for segment, index in rows.members().items()}


def _left_out(baseline: Baseline, parts: Mapping[str, Part]) -> dict[str, str]:
    """Why a segment is judged by its share of the rows at most, by segment."""
    least, said = baseline.cfg.min_rows, {}
    for segment in sorted({*baseline.parts, *parts}):
        before, now = len(baseline.part(segment).index), len(parts[segment].index) if segment in parts else 0
        if min(before, now) < least:
            said[segment] = f"{now} rows against {before} in the reference, {least} needed in each"
    return said


def _found(pair: Pair) -> list[Measured]:
    """What the detectors that apply found in one segment."""
    found = {detector: detector.find(pair) for detector in DETECTORS.values() if _applies(detector, pair)}
    return [
        Measured(detector.name, detector.family, pair.segment, float(one.value), one.effect, one.num_reference, one.num_current)
        for detector, one in found.items()
        if one is not None and np.isfinite(one.value)
    ]


def _applies(detector: Detector, pair: Pair) -> bool:
    if not detector.per_segment and pair.segment != ALL:
        return False
    if not detector.min_rows:
        return True
    return min(len(pair.reference.index), len(pair.current.index)) >= max(detector.min_rows, pair.cfg.min_rows)
