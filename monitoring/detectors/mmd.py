"""The maximum mean discrepancy on random Fourier features, against what blocks of like rows would give by chance.

B blocks of both windows that hold rows, F features, P permutations.
"""

import functools
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.sums import Sums

MIN_BLOCKS = 8  # that hold rows, in either window: with fewer nobody can tell chance from a shift
NOTHING = 1e-12  # a variance below is rounding


@dataclass(frozen=True)
class Mmd:
    """`distance` is the discrepancy, 0 to 1.4. `ratio` is its square over the square that chance gives blocks like these: about 1 where
    nothing moved. `p_value` is the share of permutations whose ratio is as large or larger, the windows' own order counted among them."""

    distance: float
    ratio: float
    p_value: float


def mmd(reference: Sums, current: Sums, num_permutations: int, seed: int) -> Mmd | None:
    """The discrepancy (Gretton et al. 2012), and permutations of whole blocks, since rows of one block are alike; None with too few blocks.

    Windows differ in rows and in rows a block, so the permuted statistic is divided by its own variance estimate, as permutation tests
    need where variances differ (Chung and Romano 2013); that estimate treats blocks as independent, not rows.
    """
    weight = np.concatenate([reference.weight_B, current.weight_B])
    phi = np.concatenate([reference.phi_BF, current.phi_BF])[weight > 0]
    num_current = int((current.weight_B > 0).sum())
    weight = weight[weight > 0]
    if min(num_current, len(weight) - num_current) < MIN_BLOCKS:
        return None
    own = np.repeat([0.0, 1.0], [len(weight) - num_current, num_current])[None]
    squared, by_chance = _gap(np.concatenate([own, _shuffled(len(weight), num_current, num_permutations, seed)]), phi, weight)
    ratio = np.where(by_chance > NOTHING, squared / np.maximum(by_chance, NOTHING), np.where(squared > NOTHING, squared / NOTHING, 0.0))
    return Mmd(float(np.sqrt(squared[0])), float(ratio[0]), float((ratio >= ratio[0]).mean()))


def _gap(side_PB: np.ndarray, phi_BF: np.ndarray, weight_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) squared distance between the mean features of the blocks marked 1 and of the others, and (P,) what chance makes of it."""
    mean, variance = zip(*(_mean(side, phi_BF, weight_B) for side in (side_PB, 1 - side_PB)), strict=True)
    gap_PF = mean[1] - mean[0]
    return np.einsum("pf,pf->p", gap_PF, gap_PF), variance[0] + variance[1]


def _mean(side_PB: np.ndarray, phi_BF: np.ndarray, weight_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, F) mean features of the blocks marked, and (P,) the summed variance of that mean: sum |phi_b - w_b mean|^2 / w^2, unbiased."""
    weight_P, num_P = side_PB @ weight_B, side_PB.sum(axis=1)
    mean_PF = side_PB @ phi_BF / weight_P[:, None]
    cross_P = np.einsum("pf,pf->p", mean_PF, side_PB @ (phi_BF * weight_B[:, None]))
    squares_P = side_PB @ np.einsum("bf,bf->b", phi_BF, phi_BF) - 2 * cross_P
    squares_P += np.einsum("pf,pf->p", mean_PF, mean_PF) * (side_PB @ weight_B**2)
    return mean_PF, np.maximum(squares_P, 0) / weight_P**2 * num_P / (num_P - 1)


@functools.lru_cache(maxsize=256)
def _shuffled(num_blocks: int, num_current: int, num_permutations: int, seed: int) -> np.ndarray:
    """(P, B) ones where a permutation gives the block to the current window, which keeps its number of blocks."""
    keys = np.random.default_rng([seed, 2]).random((num_permutations, num_blocks))
    side = np.zeros_like(keys)
    np.put_along_axis(side, np.argpartition(keys, num_current - 1, axis=1)[:, :num_current], 1.0, axis=1)
    return side
