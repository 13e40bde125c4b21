"""Two samples of one number, compared: Kolmogorov-Smirnov, Wasserstein, PSI, and which of the two is larger."""

from dataclasses import dataclass

import numpy as np

SMOOTHED = 0.01  # of every bin's share is spread evenly before PSI's logarithm, so that an empty bin is far, not infinitely far


@dataclass(frozen=True)
class Weighted:
    """N numbers in rising order, each standing for `weight_N` rows. No number is missing, no weight zero."""

    value_N: np.ndarray
    weight_N: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray | None = None) -> "Weighted":
        """The numbers that are there: what is missing, or stands for no row, is left out."""
        weights = np.ones(len(values)) if weights is None else weights
        here = np.isfinite(values) & (weights > 0)
        values, weights = values[here].astype(np.float64), weights[here].astype(np.float64)
        order = np.argsort(values, kind="stable")
        return cls(values[order], weights[order])

    def __len__(self) -> int:
        return len(self.value_N)

    @property
    def mean(self) -> float:
        """The weighted mean."""
        return float(self.weight_N @ self.value_N / self.weight_N.sum())

    @property
    def spread(self) -> float:
        """The weighted standard deviation."""
        return float(np.sqrt(self.weight_N @ (self.value_N - self.mean) ** 2 / self.weight_N.sum()))

    def below(self, at: np.ndarray, *, side: str = "right") -> np.ndarray:
        """Share of the rows that lie at or below each of `at` (below it, with side="left"), in [0, 1]."""
        summed = np.concatenate([[0.0], np.cumsum(self.weight_N)])
        return np.asarray(summed[np.searchsorted(self.value_N, at, side=side)] / summed[-1])  # type: ignore[call-overload]

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """The smallest number that has that share of the rows at or below it, for each share."""
        summed = np.cumsum(self.weight_N)
        found = np.searchsorted(summed, shares * summed[-1] * (1 - 1e-12))
        return np.asarray(self.value_N[np.minimum(found, len(self) - 1)])


def ks(one: Weighted, other: Weighted) -> float:
    """Kolmogorov-Smirnov: the largest gap between the two shares below a number, in [0, 1]; 0 where they are alike. Symmetric."""
    grid = np.concatenate([one.value_N, other.value_N])
    return float(np.abs(one.below(grid) - other.below(grid)).max())


def wasserstein(one: Weighted, other: Weighted) -> float:
    """Wasserstein-1: how far rows must be moved on average to make one sample of the other, in the number's own unit. Symmetric."""
    grid = np.sort(np.concatenate([one.value_N, other.value_N]))
    return float(np.abs(one.below(grid[:-1]) - other.below(grid[:-1])) @ np.diff(grid))


def psi(reference: Weighted, current: Weighted, num_bins: int) -> float:
    """Population stability index over bins that hold equal shares of the reference, and one on either side of it; 0 or more.

    Sum of (q - p) log(q / p) over the bins' shares (Siddiqi 2006); by custom .1 is worth a look and .25 a shift.
    """
    upper = np.unique(reference.quantiles(np.arange(1, num_bins + 1) / num_bins))
    edges = np.concatenate([[np.nextafter(reference.value_N[0], -np.inf)], upper])
    p, q = (_smoothed(np.diff(side.below(edges), prepend=0.0, append=1.0)) for side in (reference, current))
    return float((q - p) @ np.log(q / p))


def _smoothed(shares: np.ndarray) -> np.ndarray:
    return (1 - SMOOTHED) * shares + SMOOTHED / len(shares)


def beats(one: Weighted, other: Weighted) -> float:
    """The share of pairs in which the row of `other` is the larger, ties counted half: the AUC, in [0, 1]; .5 where neither leads."""
    below = one.below(other.value_N, side="left") + one.below(other.value_N)
    return float(other.weight_N @ below / (2 * other.weight_N.sum()))


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Half the summed gaps between two sets of shares: the share of rows that changed places, in [0, 1]. Symmetric."""
    return float(np.abs(p - q).sum() / 2)
