"""What came of a probing, in lines for a terminal."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow.compute as pc

from monitoring.probes import ANCHOR, COPY, GOLDEN, NEIGHBOURS, UPSERT
from monitoring.probing.prober import Probed

WIDTH = 24


def lines(probed: Probed) -> list[str]:
    """A line for each kind of question that was answered, then what was not, and where the answers lie."""
    told = []
    for kind, (name, words) in KINDS.items():
        rows = probed.rows.filter(pc.equal(probed.rows["kind"], kind))
        if rows.num_rows:
            told.append(f"{name:<{WIDTH}}{words(rows['value'].to_numpy(), rows['expected'].to_numpy())}")
    left = {"gone meanwhile": probed.num_gone, "photos of no use": probed.num_bad_photos, "not asked": probed.num_not_asked}
    told += [f"{name:<{WIDTH}}{number}" for name, number in left.items() if number]
    told += [f"{'unanswered':<{WIDTH}}{number}: {why}" for why, number in probed.unanswered.items()]
    told.append(f"{probed.num_requests} requests in {probed.seconds:.0f} s")
    if probed.rows.num_rows:
        told.append(f"{probed.rows.num_rows} answers in {probed.key}, {probed.num_before} of them from before")
    return told


def _golden(value_N: np.ndarray, _: np.ndarray) -> str:
    return f"{len(value_N)}, cosine {np.nan_to_num(value_N).min():.4f} at worst"


def _anchors(value_N: np.ndarray, expected_N: np.ndarray) -> str:
    off_N = np.abs(value_N - expected_N)[np.isfinite(value_N)]
    return f"{len(value_N)}, {f'off by {off_N.mean():.3f} in the mean' if len(off_N) else 'none of them scored'}"


def _share(value_N: np.ndarray, _: np.ndarray) -> str:
    return f"{int(value_N.sum())} of {len(value_N)}"


def _items(value_N: np.ndarray, _: np.ndarray) -> str:
    return f"{int(value_N.sum())} items near {len(value_N)}"


KINDS: Mapping[str, tuple[str, Callable[[np.ndarray, np.ndarray], str]]] = {
    GOLDEN: ("golden photos", _golden),
    ANCHOR: ("anchors", _anchors),
    UPSERT: ("written lately, found", _share),
    COPY: ("altered copies, found", _share),
    NEIGHBOURS: ("probes' neighbours", _items),
}
