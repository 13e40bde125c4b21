"""How far the Image Score moved, on the window's items, on anchors, and between clicked and skipped items."""

import numpy as np

from monitoring.detectors.pair import Found, Pair, hundredths, moved, percent
from monitoring.detectors.weighted import Weighted, beats, ks, psi, wasserstein
from monitoring.extras import Extras


def score_psi(pair: Pair) -> Found | None:
    """PSI over the quantiles of the reference's scores in the segment, 0 or more."""
    if (both := pair.numbers("image_score")) is None:
        return None
    value = psi(*both, pair.cfg.num_bins)
    return Found(value, f"score PSI {hundredths(value)}", *map(len, both))


def score_ks(pair: Pair) -> Found | None:
    """Kolmogorov-Smirnov between the scores, 0 to 1."""
    if (both := pair.numbers("image_score")) is None:
        return None
    value = ks(*both)
    return Found(value, f"{_means(*both)}, KS {hundredths(value)}", *map(len, both))


def score_wasserstein(pair: Pair) -> Found | None:
    """Wasserstein-1 between the scores, in points of the score, 0 to 1."""
    if (both := pair.numbers("image_score")) is None:
        return None
    value = wasserstein(*both)
    return Found(value, f"{_means(*both)}, moved by {value:.2f}", *map(len, both))


def anchors(pair: Pair) -> Found | None:
    """How much farther anchors' scores lie from what the release said when it was made than in the reference, in points, 0 to 1."""
    before, now = (_off(side) for side in pair.extras)
    if not len(now):
        return None
    usual = float(np.abs(before).mean()) if len(before) else 0.0
    return Found(max(float(np.abs(now).mean()) - usual, 0.0), f"anchors' scores off by {now.mean():+.2f}", len(before), len(now))


def click_gap(pair: Pair) -> Found | None:
    """Change of the share of pairs in which the clicked item has the higher score, 0 to 1. A rising map of scores leaves it alone."""
    before, now = (_lead(side, pair.cfg.min_rows) for side in pair.extras)
    if before is None or now is None:
        return None
    nums = (len(side.clicked_scores) for side in pair.extras)
    return Found(abs(now - before), moved("clicked scores higher in", percent(before), f"{percent(now)} of pairs"), *nums)


def _means(before: Weighted, now: Weighted) -> str:
    return moved("score", f"{before.mean:.2f}", f"{now.mean:.2f}")


def _off(extras: Extras) -> np.ndarray:
    off = extras.anchor_scores.astype(np.float64) - extras.anchor_targets
    return np.asarray(off[np.isfinite(off)])


def _lead(extras: Extras, min_rows: int) -> float | None:
    skipped, clicked = Weighted.of(extras.skipped_scores), Weighted.of(extras.clicked_scores)
    return beats(skipped, clicked) if min(len(skipped), len(clicked)) >= min_rows else None
