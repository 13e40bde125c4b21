"""What adds up over the rows of a window: a window of any length is read in chunks and added up, so nothing is lost to sampling.

N rows, D width of a vector, B blocks, F features.
"""

from dataclasses import dataclass

import numpy as np

from monitoring.detectors.space import Space

ROUNDING = 1e-4  # of a squared unit vector: an error below is none


@dataclass(frozen=True)
class Sums:
    """Weighted sums over rows: the vectors, the squared distances that the reference's components miss, and features by block."""

    total_D: np.ndarray
    missed: float
    weight_B: np.ndarray
    phi_BF: np.ndarray

    @classmethod
    def of(cls, space: Space, vectors: np.ndarray, weight: np.ndarray, fold: np.ndarray, block: np.ndarray, num_blocks: int) -> "Sums":
        """The sums over (N, D) vectors, each standing for `weight` (N,) rows; `fold` (N,) of its item, `block` (N,) below num_blocks."""
        return cls.over(vectors, space.missed(vectors, fold), space.features(vectors), weight, block, num_blocks)

    @classmethod
    def over(
        cls, vectors: np.ndarray, missed_N: np.ndarray, phi_NF: np.ndarray, weight: np.ndarray, block: np.ndarray, num_blocks: int
    ) -> "Sums":
        """As `of`, of rows whose features are known."""
        weight = weight.astype(np.float32)
        of_block = np.zeros((num_blocks, len(vectors)), np.float32)
        of_block[block, np.arange(len(vectors))] = weight
        total = (weight @ vectors).astype(np.float64)
        return cls(total, float(weight @ missed_N), of_block.sum(axis=1, dtype=np.float64), (of_block @ phi_NF).astype(np.float64))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.total_D + other.total_D, self.missed + other.missed, self.weight_B + other.weight_B, self.phi_BF + other.phi_BF)

    @property
    def weight(self) -> float:
        """Rows that the sums stand for."""
        return float(self.weight_B.sum())

    @property
    def mean(self) -> np.ndarray:
        """(D,) the mean vector."""
        return self.total_D / self.weight

    @property
    def mean_missed(self) -> float:
        """The mean squared distance that the components miss, 0 to 4 for vectors of unit length."""
        return self.missed / self.weight


def centroid_distance(one: Sums, other: Sums) -> float:
    """Euclidean distance between the mean vectors; at most 2 for vectors of unit length. Symmetric."""
    return float(np.linalg.norm(one.mean - other.mean))


def reconstruction_gap(one: Sums, other: Sums) -> float:
    """|log| of the ratio of the mean reconstruction errors: 0 where equal, .69 where one is twice the other. Symmetric."""
    errors = [side.mean_missed + ROUNDING for side in (one, other)]
    return float(abs(np.log(errors[1] / errors[0])))
