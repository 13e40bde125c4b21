"""Sets of 64-bit keys that grow a little at a time and stay in numpy: about 12 bytes a key, up to twice that while runs are merged.

N = keys asked about, K = keys kept.
"""

import numpy as np
import polars as pl
import pyarrow as pa

Hashes = np.ndarray
"""uint64: strings and rows by their hash. Of ten million, two share one with a chance of 3 in a million."""

FIRST_ROOM = 64


class Keys:
    """Distinct keys, numbered from 0 as they come. They lie in sorted runs, each at least twice as long as the next: asking for n keys
    costs n log K in each of at most log K runs, and adding them no more than that on average."""

    def __init__(self) -> None:
        self._runs: list[tuple[Hashes, np.ndarray]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, key_N: Hashes) -> np.ndarray:
        """int64 (N,): the number of each key, -1 where it is not here."""
        number_N = np.full(len(key_N), -1, np.int64)
        for run_K, numbers_K in self._runs:
            at_N = np.minimum(run_K.searchsorted(key_N), len(run_K) - 1)
            is_here_N = run_K[at_N] == key_N
            number_N[is_here_N] = numbers_K[at_N[is_here_N]]
        return number_N

    def add(self, key_N: Hashes) -> tuple[np.ndarray, np.ndarray]:
        """The number of each key, int64 (N,), and where in `key_N` each new one stands first, in the order of the new numbers."""
        number_N = self.find(key_N)
        fresh = np.flatnonzero(number_N < 0)
        if not len(fresh):
            return number_N, fresh
        new, first, place = np.unique(key_N[fresh], return_index=True, return_inverse=True)
        number_N[fresh] = self._count + place
        self._push(new, np.arange(self._count, self._count + len(new), dtype=np.int32))
        self._count += len(new)
        return number_N, fresh[first]

    def _push(self, run: Hashes, numbers: np.ndarray) -> None:
        while self._runs and len(self._runs[-1][0]) < 2 * len(run):
            other, others = self._runs.pop()
            run, numbers = np.concatenate([other, run]), np.concatenate([others, numbers])
            order = np.argsort(run, kind="stable")  # which merges runs that are sorted already
            run, numbers = run[order], numbers[order]
        self._runs.append((run, numbers))


def is_in(key_N: Hashes, sorted_K: Hashes) -> np.ndarray:
    """(N,): whether each key is among the sorted ones, of which there is one at least."""
    return np.asarray(sorted_K[np.minimum(sorted_K.searchsorted(key_N), len(sorted_K) - 1)] == key_N)


def roomy(rows: np.ndarray, num_rows: int) -> np.ndarray:
    """The array, or a copy with room for that many rows and half as many again, zero where nothing was written."""
    if num_rows <= len(rows):
        return rows
    grown = np.zeros((max(FIRST_ROOM, num_rows + num_rows // 2), *rows.shape[1:]), rows.dtype)
    grown[: len(rows)] = rows
    return grown


def hashes(texts: pa.ChunkedArray) -> Hashes:
    """(N,): the hash of each text, 0 where it is null; the same in every process of one version of polars."""
    found: Hashes = pl.Series("", pl.from_arrow(texts.combine_chunks()), dtype=pl.String).hash(0).to_numpy().copy()
    found[np.asarray(texts.is_null())] = 0
    return found


def hash_of(text: str) -> int:
    """The hash of one text."""
    return int(pl.Series("", [text]).hash(0)[0])


def mixed(*parts_N: np.ndarray) -> Hashes:
    """(N,): one hash of several columns, which tells their order apart (the finaliser of SplitMix64, Steele et al. 2014, over each)."""
    total_N = np.zeros(len(parts_N[0]), np.uint64)
    for part_N in parts_N:
        wide_N = part_N.astype(np.int64).view(np.uint64) if part_N.dtype.kind == "i" else part_N
        total_N = total_N * np.uint64(0x9E3779B97F4A7C15) + wide_N
        total_N ^= total_N >> np.uint64(30)
        total_N *= np.uint64(0xBF58476D1CE4E5B9)
        total_N ^= total_N >> np.uint64(27)
        total_N *= np.uint64(0x94D049BB133111EB)
        total_N ^= total_N >> np.uint64(31)
    return total_N
