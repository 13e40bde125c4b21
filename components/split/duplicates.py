"""Pictures that look the same by their perceptual hash, found without comparing each with each."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NUM_BANDS, BAND_BITS = 4, 16
BLOCK_PAIRS = 4_000_000


@dataclass(frozen=True)
class DuplicateGroups:
    """By row: the number of its near-duplicate group, -1 for none. Groups above the cap are taken apart and counted."""

    group: np.ndarray
    num_groups: int
    num_capped: int
    num_rows_capped: int


def duplicate_groups(phash: np.ndarray, max_distance: int, max_group: int) -> DuplicateGroups:
    """Rows joined where hashes (uint64) differ in at most `max_distance` bits, directly or through others.

    A group of more than `max_group` rows is no product but a background, such as blank photos: its rows are not joined.
    """
    hashes, of_row = np.unique(phash, return_inverse=True)
    blocks = [block for block in close_pairs(hashes, max_distance) if len(block)]
    pairs = np.concatenate(blocks) if blocks else np.empty((0, 2), np.int64)
    label = components(len(hashes), pairs)[of_row]
    size = np.bincount(label, minlength=1)
    joined = (size > 1) & (size <= max_group)
    number = np.where(joined, np.cumsum(joined) - 1, -1)
    capped = size > max_group
    return DuplicateGroups(number[label], int(joined.sum()), int(capped.sum()), int(size[capped].sum()))


def components(num_nodes: int, edges: np.ndarray) -> np.ndarray:
    """int64 (num_nodes,): the connected component of each node; edges is (E, 2)."""
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(num_nodes, num_nodes))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def close_pairs(hashes: np.ndarray, max_distance: int) -> Iterator[np.ndarray]:
    """Blocks (P, 2) of i < j with at most `max_distance` bits between hashes[i] and hashes[j]; every such pair comes, some more than once.

    Multi-index hashing (Norouzi et al. 2012): of two hashes within d bits, one of four 16-bit bands is within d // 4 bits, so only
    rows that meet in a band's bucket, or in one of its close neighbours, are compared. `hashes` are uint64.
    """
    for band in range(NUM_BANDS):
        value = ((hashes >> np.uint64(band * BAND_BITS)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(value, kind="stable")
        starts = np.searchsorted(value[order], np.arange((1 << BAND_BITS) + 1))
        for flip in flips(max_distance // NUM_BANDS):
            first, end = starts[value ^ flip], starts[(value ^ flip) + 1]
            yield from _verified(hashes, order, first, end - first, max_distance)


def flips(max_bits: int) -> list[int]:
    """Every 16-bit mask with at most `max_bits` bits set."""
    sets = (bits for count in range(max_bits + 1) for bits in combinations(range(BAND_BITS), count))
    return [sum(1 << bit for bit in bits) for bits in sets]


def _verified(hashes: np.ndarray, order: np.ndarray, first: np.ndarray, count: np.ndarray, max_distance: int) -> Iterator[np.ndarray]:
    ends = np.cumsum(count)
    start = 0
    while start < len(count):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + BLOCK_PAIRS, side="right")))
        block = count[start:stop]
        i = np.repeat(np.arange(start, stop), block)
        within = np.arange(len(i)) - np.repeat(ends[start:stop] - block - done, block)
        j = order[np.repeat(first[start:stop], block) + within]
        close = (i < j) & (np.bitwise_count(hashes[i] ^ hashes[j]) <= max_distance)
        yield np.stack([i[close], j[close]], axis=1)
        start = stop
