"""The reference's vector space, as the embedding detectors look at it: principal components, and random Fourier features.

N rows, D width of a vector, C components, K folds of items, H frequencies, F = 2 H features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from monitoring.detectors.config import DetectorsConfig

FLAT = 1e-6  # of the first component's spread: a direction with less has no scale of its own
CHUNK = 16_384  # rows whose features are worked out at once


@dataclass(frozen=True)
class Moments:
    """Sums over rows, which add up over chunks: a reference of any length is described in D x D numbers."""

    weight: float
    total_D: np.ndarray
    product_DD: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, weight: np.ndarray) -> "Moments":
        """The sums over (N, D) vectors, of which each stands for `weight` (N,) rows."""
        weighed = vectors * weight[:, None].astype(vectors.dtype)
        return cls(float(weight.sum()), weighed.sum(axis=0, dtype=np.float64), (weighed.T @ vectors).astype(np.float64))

    @classmethod
    def by_fold(cls, vectors: np.ndarray, weight: np.ndarray, fold: np.ndarray, num_folds: int) -> list["Moments"]:
        """The sums over the rows of each fold, K of them; a fold may have none."""
        return [cls.of(vectors[fold == k], weight[fold == k]) for k in range(num_folds)]

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.weight + other.weight, self.total_D + other.total_D, self.product_DD + other.product_DD)

    @property
    def mean(self) -> np.ndarray:
        """(D,) the weighted mean vector."""
        return self.total_D / self.weight

    def components(self, num: int) -> tuple[np.ndarray, np.ndarray]:
        """(C,) variances along the first principal components, falling, and (D, C) the components; C is at most `num`."""
        values, vectors = np.linalg.eigh(self.product_DD / self.weight - np.outer(self.mean, self.mean))
        return values[::-1][:num], vectors[:, ::-1][:, :num]


@dataclass(frozen=True)
class Plane:
    """A mean and C components."""

    mean_D: np.ndarray
    component_DC: np.ndarray

    @classmethod
    def of(cls, moments: Moments, num_components: int) -> "Plane":
        """The plane closest to the rows; of at most half the width, so that something can be missed."""
        _, component = moments.components(min(num_components, max(1, len(moments.total_D) // 2)))
        return cls(moments.mean.astype(np.float32), np.ascontiguousarray(component, dtype=np.float32))

    def missed(self, vectors: np.ndarray) -> np.ndarray:
        """(N,) squared distances of the vectors from the plane."""
        from_mean = vectors - self.mean_D
        along = from_mean @ self.component_DC
        squared = np.einsum("nd,nd->n", from_mean, from_mean) - np.einsum("nc,nc->n", along, along)
        return np.asarray(np.maximum(squared, 0))


@dataclass(frozen=True)
class Space:
    """The reference's mean, its first C principal components with the spread along them, and H frequencies of a Gaussian kernel.

    `planes` are K, each fitted without one fold of items: an item is judged by a plane that never saw it, in either window.
    """

    mean_D: np.ndarray
    axis_DC: np.ndarray
    planes: tuple[Plane, ...]
    frequency_DH: np.ndarray

    @classmethod
    def fit(cls, moments: Sequence[Moments], some_vectors: np.ndarray, cfg: DetectorsConfig, seed: int) -> "Space":
        """The space of the rows behind `moments`, one for each fold; `some_vectors` (N, D), different items of theirs, give the kernel
        its width, which is the median distance between two (Gretton et al. 2012); frequencies as in Rahimi and Recht 2007."""
        whole = reduce(add, moments)
        values, vectors = whole.components(cfg.num_components)
        spread = np.sqrt(np.maximum(values, max(float(values[0]), FLAT) * FLAT))
        others = [reduce(add, [m for j, m in enumerate(moments) if j != k]) for k in range(len(moments))]
        planes = tuple(Plane.of(other if other.weight > 0 else whole, cfg.num_components) for other in others)
        rng = np.random.default_rng([seed, 1])
        frequency = rng.standard_normal((len(whole.total_D), cfg.num_features // 2)) / _median_distance(some_vectors)
        return cls(whole.mean.astype(np.float32), (vectors / spread).astype(np.float32), planes, frequency.astype(np.float32))

    def coordinates(self, vectors: np.ndarray) -> np.ndarray:
        """(N, C) along the components, in units of the reference's spread."""
        return np.asarray((vectors - self.mean_D) @ self.axis_DC)

    def missed(self, vectors: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """(N,) squared distances from the plane that was fitted without the row's own fold (N,)."""
        missed = np.empty(len(vectors), np.float32)
        for k, plane in enumerate(self.planes):
            missed[fold == k] = plane.missed(vectors[fold == k])
        return missed

    def features(self, vectors: np.ndarray) -> np.ndarray:
        """(N, F) of unit length, whose inner products estimate the Gaussian kernel's."""
        num_frequencies = self.frequency_DH.shape[1]
        phi = np.empty((len(vectors), 2 * num_frequencies), np.float32)
        for start in range(0, len(vectors), CHUNK):
            rows = slice(start, start + CHUNK)
            angle = vectors[rows] @ self.frequency_DH
            np.cos(angle, out=phi[rows, :num_frequencies])
            np.sin(angle, out=phi[rows, num_frequencies:])
        phi *= np.float32(num_frequencies**-0.5)
        return phi


def _median_distance(vectors: np.ndarray) -> float:
    """The median distance between two of the rows; 1 where all are one."""
    squared = np.einsum("nd,nd->n", vectors, vectors)
    distance = np.maximum(squared[:, None] + squared - 2 * vectors @ vectors.T, 0)[np.triu_indices(len(vectors), 1)]
    median = float(np.sqrt(np.median(distance))) if len(distance) else 0.0
    return median if median > FLAT else 1.0
