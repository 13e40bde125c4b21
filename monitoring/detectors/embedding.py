"""How far the vectors moved."""

import numpy as np

from monitoring.detectors.classifier import domain_auc
from monitoring.detectors.mmd import mmd
from monitoring.detectors.pair import Found, Pair, hundredths, moved, percent
from monitoring.detectors.sums import centroid_distance, reconstruction_gap


def classifier(pair: Pair) -> Found | None:
    """The domain classifier's AUC less the .5 of chance, -.5 to .5."""
    sides = pair.reference.side(), pair.current.side()
    if sides[0] is None or sides[1] is None or min(len(side.weight_N) for side in sides if side) < pair.cfg.min_rows:
        return None
    auc = domain_auc(sides[0], sides[1], ridge=pair.cfg.ridge)
    return None if auc is None else Found(auc - 0.5, f"AUC {hundredths(auc)}", len(sides[0].weight_N), len(sides[1].weight_N))


def kernel(pair: Pair) -> Found | None:
    """MMD's square as a multiple of what chance gives blocks like these: about 1 where nothing moved, 0 for the same rows."""
    before, now = pair.sums
    if before is None or now is None or (result := mmd(before, now, pair.cfg.num_permutations, pair.seed)) is None:
        return None
    return pair.found(result.ratio, f"MMD {result.distance:.2f}, {result.ratio:.1f} times chance, p {hundredths(result.p_value)}")


def centroid(pair: Pair) -> Found | None:
    """The distance between the mean vectors, 0 to 2."""
    before, now = pair.sums
    if before is None or now is None:
        return None
    distance = centroid_distance(before, now)
    return pair.found(distance, f"centre moved by {distance:.2f}")


def reconstruction(pair: Pair) -> Found | None:
    """|log| of the ratio of the squared errors that the reference's principal components leave, 0 or more."""
    before, now = pair.sums
    if before is None or now is None:
        return None
    words = moved("reconstruction error", f"{before.mean_missed:.3f}", f"{now.mean_missed:.3f}")
    return pair.found(reconstruction_gap(before, now), words)


def churn(pair: Pair) -> Found | None:
    """The mean share of the probes' nearest items that were not among their nearest in the reference, 0 to 1."""
    before, now = (side.probe_neighbours for side in pair.extras)
    probes = sorted(name for name in before.keys() & now.keys() if before[name] and now[name])
    if not probes:
        return None
    changed = float(np.mean([len(set(now[name]) - set(before[name])) / len(set(now[name])) for name in probes]))
    return Found(changed, f"{percent(changed)} of probes' neighbours are others", len(before), len(now))
