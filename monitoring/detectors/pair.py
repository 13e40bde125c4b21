"""What a detector is given, and what it finds."""

from dataclasses import dataclass

from monitoring.detectors.config import DetectorsConfig
from monitoring.detectors.part import Part
from monitoring.detectors.sums import Sums
from monitoring.detectors.weighted import Weighted
from monitoring.extras import Extras


@dataclass(frozen=True)
class Found:
    """How far apart the two are, larger is farther, in words too; and how many rows, clicks or probes were compared."""

    value: float
    effect: str
    num_reference: int
    num_current: int


@dataclass(frozen=True)
class Pair:
    """A segment of the reference and of the current window. Sums and extras may cover more rows than the parts: the whole window."""

    segment: str
    reference: Part
    current: Part
    sums: tuple[Sums | None, Sums | None]
    extras: tuple[Extras, Extras]
    cfg: DetectorsConfig
    seed: int

    @property
    def dimension(self) -> str:
        """The column that the segment is cut by; `all` for the whole window."""
        return self.segment.partition("=")[0]

    def found(self, value: float, effect: str) -> Found:
        """Of all rows of the two parts."""
        return Found(value, effect, len(self.reference.index), len(self.current.index))

    def numbers(self, name: str) -> tuple[Weighted, Weighted] | None:
        """A column's numbers in both parts; None where either has too few."""
        both = self.reference.number(name), self.current.number(name)
        return both if min(map(len, both)) >= self.cfg.min_rows else None


def percent(share: float) -> str:
    """`12 %`, and `1.2 %` below ten."""
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 else f"{100 * share:.1f} %"


def hundredths(value: float) -> str:
    """`.71`, as AUCs and the like are read; `1.00` where it is 1."""
    return f"{value:.2f}".removeprefix("0")


def moved(name: str, before: str, after: str) -> str:
    """`brightness 0.52 -> 0.44`."""
    return f"{name} {before} -> {after}"
