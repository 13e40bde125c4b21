"""The judge that needs no network: a photo's score falls with each fault that its measures show.

It judges each photo by itself, so the order shown cannot matter. It knows nothing of taste: it is a stand-in for a vision model, named as
such in every row. Weights and bounds were set by hand on drawn photos; how well they order true quality is in docs/benchmarks.md.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from components.images import to_square
from components.label.judge import Adjective, Choice, Side, Verdict
from components.label.photo import Measures, measure
from components.work_cache import Pack

JUDGE_ID = "heuristic-1"
FLUSH_EVERY = 200
NOTICED = 0.5  # a fault at half its weight, or a virtue without the fault, earns its adjective


@dataclass(frozen=True)
class Fault:
    """Nothing at `fine`, in full at `bad`, on a straight line between; in full it takes `weight` of the score."""

    measure: str
    fine: float
    bad: float
    weight: float
    adjective: str
    opposite: str | None = None

    def strength(self, measures: Measures) -> float:
        """In [0, 1], 0 is best."""
        return float(np.clip((getattr(measures, self.measure) - self.fine) / (self.bad - self.fine), 0, 1))


FAULTS = (
    Fault("edge_strength", -0.75, -1.15, 0.20, "soft", "crisp"),
    Fault("edge_width_ratio", 1.45, 1.10, 0.25, "blurry", "sharp"),
    Fault("white_level", 0.75, 0.40, 0.30, "dark", "well-lit"),
    Fault("contrast", 0.08, 0.03, 0.40, "flat"),
    Fault("hot_spot", 0.10, 0.40, 0.20, "glaring"),
    Fault("outer_edges", 0.08, 0.30, 0.15, "cluttered", "uncluttered"),
    Fault("main_part_share", 0.95, 0.60, 0.20, "busy"),
    Fault("border_touch_share", 0.05, 0.15, 0.15, "cut-off"),
    Fault("off_centre", 0.15, 0.45, 0.20, "off-centre", "centred"),
    Fault("upright_share", 0.45, 0.20, 0.15, "tilted"),
    Fault("outer_strokes", 0.03, 0.12, 0.20, "scribbled-over"),
)


def photo_score(measures: Measures) -> float:
    """In [0, 1], higher is better: what the faults leave, each taking its share of what the others left."""
    return float(np.prod([1 - fault.weight * fault.strength(measures) for fault in FAULTS]))


def adjectives_of(measures: Measures, item: Side) -> tuple[Adjective, ...]:
    """A word for each fault that shows, and for each virtue whose fault does not show at all."""
    found = [(fault, fault.strength(measures)) for fault in FAULTS]
    words = [Adjective(item, fault.adjective, -1) for fault, strength in found if strength >= NOTICED]
    return (*words, *(Adjective(item, fault.opposite, 1) for fault, strength in found if fault.opposite and strength == 0))


@dataclass(frozen=True)
class Notebook:
    """Measures by picture, kept in the work cache: a picture is measured once, however many pairs show it."""

    pack: Pack
    image_px: int

    def measures_of(self, picture: bytes) -> Measures:
        """The measures of an encoded picture. Raises BadPicture."""
        key = hashlib.sha256(picture).hexdigest()
        if (kept := self.pack.get(key)) is None:
            kept = measure(to_square(picture, self.image_px)).to_bytes()
            self.pack.put(key, kept)
            if len(self.pack.fresh) >= FLUSH_EVERY:
                self.pack.flush()
        return Measures.from_bytes(kept)


@dataclass(frozen=True)
class HeuristicJudge:
    """Judges by measures alone. Scores closer than `tie_margin` are a tie."""

    notebook: Notebook
    tie_margin: float
    id: str = JUDGE_ID
    rubric: str = "measures-1"
    paid: bool = False

    def judge(self, query: str | None, first_picture: bytes, second_picture: bytes) -> Verdict:
        """The photo with the higher score. The query is not looked at."""
        first, second = (self.notebook.measures_of(picture) for picture in (first_picture, second_picture))
        gap = photo_score(first) - photo_score(second)
        choice: Choice = "tie" if abs(gap) < self.tie_margin else "first" if gap > 0 else "second"
        words = (*adjectives_of(first, "first"), *adjectives_of(second, "second"))
        return Verdict(choice, photo_score(first), photo_score(second), words)
