"""What a window holds besides its rows: clicks, and how the release answers questions whose answers are known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


def _none() -> np.ndarray:
    return np.empty(0, np.float32)


@dataclass(frozen=True)
class Extras:
    """Every part may be empty: where the shop does not log it, or nobody asked. An empty part says nothing.

    Labels: Image Scores, 0 to 1, of the items that were clicked in the window, (C,), and of those on the same pages that were not, (S,).
    Anchors: what the release says of its anchor photos now, (A,), and what it is to say, `anchor_targets` (A,), both 0 to 1.
    `golden_cosine` (G,): cosine of each golden photo's vector now with its golden answer; 1 is sound. `probe_neighbours`: the nearest
    items of each probe item, nearest first, by the probe's id. Self-retrieval: of `num_augmented` altered copies of photos of items on
    sale, `num_self_retrieved` found their own item among the first ten. Upserts: of `num_upserts` items written in the window,
    `num_findable` were found by their own photo. `missing_share`: share of the window's rows, 0 to 1, that lack the field, by field.
    """

    clicked_scores: np.ndarray = field(default_factory=_none)
    skipped_scores: np.ndarray = field(default_factory=_none)
    anchor_scores: np.ndarray = field(default_factory=_none)
    anchor_targets: np.ndarray = field(default_factory=_none)
    golden_cosine: np.ndarray = field(default_factory=_none)
    probe_neighbours: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    num_augmented: int = 0
    num_self_retrieved: int = 0
    num_upserts: int = 0
    num_findable: int = 0
    missing_share: Mapping[str, float] = field(default_factory=dict)
