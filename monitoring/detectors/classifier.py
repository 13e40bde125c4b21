"""The domain classifier: can a straight cut through the vector space tell the two windows apart?

N rows, C components.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.weighted import Weighted, beats

NUM_STEPS = 3  # of Newton's method from zero; a fourth moved no AUC by .001, and stopping early only regularises windows far apart


@dataclass(frozen=True)
class Side:
    """Rows of one window: coordinates, the rows each stands for, and the fold of each row's item."""

    z_NC: np.ndarray
    weight_N: np.ndarray
    fold_N: np.ndarray

    def where(self, here_N: np.ndarray) -> "Side":
        """The rows marked."""
        return Side(self.z_NC[here_N], self.weight_N[here_N], self.fold_N[here_N])

    def scored(self, theta: np.ndarray) -> Weighted:
        """The rows in order of the classifier's output, rounded so that one picture shown twice ties with itself."""
        return Weighted.of(np.round(self.z_NC @ theta[1:], 6), self.weight_N)


def domain_auc(reference: Side, current: Side, *, ridge: float) -> float | None:
    """Cross-validated AUC of a logistic regression that tells current rows from the reference's: .5 by chance, 1 where they are apart.

    An item's rows lie in one fold, in both windows, so that no item is recognised; both windows weigh the same. The mean over folds;
    None where no fold has rows of both windows to learn from and to be tried on. After Kim et al. 2021, and Lopez-Paz and Oquab 2017.
    """
    found = []
    for fold in np.union1d(reference.fold_N, current.fold_N):
        taught = [side.where(side.fold_N != fold) for side in (reference, current)]
        tried = [side.where(side.fold_N == fold) for side in (reference, current)]
        if all(len(side.weight_N) for side in (*taught, *tried)):
            theta = _fitted(taught, ridge)
            found.append(beats(*(side.scored(theta) for side in tried)))
    return float(np.mean(found)) if found else None


def _fitted(sides: Sequence[Side], ridge: float) -> np.ndarray:
    """(1 + C,) intercept and slopes, by Newton's method on the weighted loss with `ridge` times the squared slopes over two."""
    z = np.concatenate([side.z_NC for side in sides])
    x = np.concatenate([np.ones((len(z), 1), z.dtype), z], axis=1)
    weight = np.concatenate([side.weight_N / (2 * side.weight_N.sum()) for side in sides]).astype(x.dtype)
    is_current = np.repeat(np.array([0, 1], x.dtype), [len(side.z_NC) for side in sides])
    penalty = np.full(x.shape[1], ridge)
    penalty[0] = 1e-6
    theta = np.zeros(x.shape[1])
    for _ in range(NUM_STEPS):
        p = 1 / (1 + np.exp(np.clip(-(x @ theta.astype(x.dtype)), -30, 30)))
        slope = (weight * (is_current - p)) @ x - penalty * theta
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        theta = theta + np.linalg.solve(curve, slope)
    return theta
