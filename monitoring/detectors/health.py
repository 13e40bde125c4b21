"""Whether the model and its index still answer questions whose answers are known."""

import numpy as np

from monitoring.detectors.pair import Found, Pair, moved, percent


def golden(pair: Pair) -> Found | None:
    """1 less the cosine of the golden photo whose vector lies farthest from its golden answer, 0 to 2; no number counts as cosine 0."""
    cosines = np.nan_to_num(pair.extras[1].golden_cosine.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if not len(cosines):
        return None
    worst = min(float(cosines.min()), 1.0)
    return Found(1 - worst, f"golden photos' cosine {worst:.4f} at worst", len(pair.extras[0].golden_cosine), len(cosines))


def self_retrieval(pair: Pair) -> Found | None:
    """By how much fewer altered copies find their own item than in the reference, 0 to 1."""
    asked = [(side.num_augmented, side.num_self_retrieved) for side in pair.extras]
    return _fewer(asked[0], asked[1], "altered copies that find their item")


def findable(pair: Pair) -> Found | None:
    """By how much fewer of the items written lately are found by their own photo than in the reference, 0 to 1: a stale index."""
    asked = [(side.num_upserts, side.num_findable) for side in pair.extras]
    return _fewer(asked[0], asked[1], "new items that are found")


def _fewer(before: tuple[int, int], now: tuple[int, int], what: str) -> Found | None:
    """A reference that nobody asked counts as one that found all."""
    if not now[0]:
        return None
    shares = [found / asked if asked else 1.0 for asked, found in (before, now)]
    return Found(max(shares[0] - shares[1], 0.0), moved(what, *map(percent, shares)), before[0], now[0])
