"""The buckets by which a window is cut where a row holds a number: how large its seller is, and how good its photo."""

import numpy as np

SELLER_SIZES = ("new", "1-9", "10-19", "20+")  # new: the first listing is younger than NEW_DAYS; else how many the seller has
NEW_DAYS = 30
SELLER_EDGES = (1, 10, 20)
QUALITIES = ("q1", "q2", "q3", "q4")  # quarters of the release's own reference by Image Score; q4 holds the best photos


def seller_size_of(num_listings: np.ndarray) -> np.ndarray:
    """(N,) places in SELLER_SIZES, from how many listings each seller has; 0 says that the seller is new."""
    return np.searchsorted(SELLER_EDGES, num_listings, side="right")


def quality_edges_of(scores: np.ndarray) -> tuple[float, float, float]:
    """The inner quartiles of the reference's Image Scores, which part QUALITIES."""
    first, middle, last = np.quantile(scores, (0.25, 0.5, 0.75)).tolist()
    return first, middle, last


def quality_of(scores: np.ndarray, edges: tuple[float, float, float]) -> np.ndarray:
    """(N,) places in QUALITIES."""
    return np.searchsorted(edges, scores, side="right")
