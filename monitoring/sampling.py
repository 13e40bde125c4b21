"""A sample of a window in which every segment is large enough, drawn as the rows come, in whatever order they come.

Each row has a number that its name gives, even in [0, 1) over names. A segment keeps its rows of lowest number, and the sample is what any
segment keeps: bottom-k samples that share their numbers (Cohen and Kaplan 2007). So no order of rows, and no spreading over files, changes
the sample, and memory grows with the sample alone.

N rows, S dimensions.
"""

from dataclasses import dataclass

import numpy as np

NONE = -1
MANY_TIMES, CLOSE_ENOUGH = 200, 1e-9


@dataclass(frozen=True)
class Sample:
    """Rows by `reference` (N,), with their `code_NS` in each dimension. A row stands for `weight` (N,) rows: sums over any set of rows
    are unbiased."""

    reference: np.ndarray
    code_NS: np.ndarray
    weight: np.ndarray


class Sampler:
    """Keeps `num_rows` of all rows, and `num_segment` of each segment, which is a value of a dimension."""

    def __init__(self, num_rows: int, num_segment: int, num_dimensions: int) -> None:
        self.num_rows, self.num_segment = num_rows, num_segment
        self._number, self._reference = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        self._code = np.zeros((0, num_dimensions), np.int32)
        self._pruned = 0

    def offer(self, number: np.ndarray, reference: np.ndarray, code_NS: np.ndarray) -> None:
        """Rows by their uint64 numbers, no two of which are the same, with what finds them again and their place in each dimension,
        NONE where a row is in no segment of it."""
        self._number = np.concatenate([self._number, number])
        self._reference = np.concatenate([self._reference, reference.astype(np.uint64)])
        self._code = np.concatenate([self._code, code_NS.astype(np.int32)])
        if len(self._number) > 2 * max(self._pruned, self.num_rows):
            self._keep(self._reached(1)[0])
            self._pruned = len(self._number)

    def _keep(self, here: np.ndarray) -> None:
        self._number, self._reference, self._code = self._number[here], self._reference[here], self._code[here]

    @property
    def num_held(self) -> int:
        """Rows in memory."""
        return len(self._number)

    def sample(self) -> Sample:
        """The sample of all rows so far, in order of their numbers.

        A row's chance, given every other row's number, is the largest of what its segments give it: the number beyond which the segment
        would not have kept it. It stands for 1 / chance rows.
        """
        kept, chance = self._reached(0)
        order = np.flatnonzero(kept)[np.argsort(self._number[kept])]
        return Sample(self._reference[order], self._code[order], 1 / chance[order])

    def _reached(self, more: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) which rows are among the lowest of a segment, of `more` rows beyond what is asked for, and (N,) each one's chance."""
        everywhere = np.zeros(len(self._number), np.int32)
        kept, chance = _lowest(self._number, everywhere, self.num_rows, more)
        for code in self._code.T:
            of_segment, chance_there = _lowest(self._number, code, self.num_segment, more)
            kept, chance = kept | of_segment, np.maximum(chance, chance_there)
        return kept, chance


def _lowest(number: np.ndarray, code: np.ndarray, k: int, more: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) which rows are among the k + `more` lowest of their code, and (N,) the share of numbers that would have been among the k."""
    order = np.lexsort([number, code])
    sorted_code = code[order]
    first = np.searchsorted(sorted_code, sorted_code, side="left")
    end = np.searchsorted(sorted_code, sorted_code, side="right")
    rank = np.arange(len(order)) - first
    bound = first + np.where(rank < k, k, k - 1)  # of a row that is kept, the k-th of the others is the next one
    share = number[order[np.minimum(bound, len(order) - 1)]].astype(np.float64) / 2.0**64
    share = np.where(end - first <= k, 1.0, share)
    inside = sorted_code != NONE
    kept, chance = np.zeros(len(order), bool), np.zeros(len(order))
    kept[order], chance[order] = inside & (rank < k + more), np.where(inside, share, 0.0)
    return kept, chance


def raked(weight: np.ndarray, code_NS: np.ndarray, counts: list[np.ndarray], num_rows: int) -> np.ndarray:
    """(N,) the weights, moved as little as needed for those of each segment to sum to its count, and all to `num_rows`.

    `counts` are those of each dimension's values; rows that are in no segment of it count as one value more. Iterative proportional
    fitting (Deming and Stephan 1940), which keeps sums consistent (Deville and Sarndal 1992). Where no row of a segment is in the sample,
    the dimension's other rows stand for its rows too.
    """
    weight, wanted = weight.astype(np.float64), []
    for code, count in zip(code_NS.T, counts, strict=True):
        every = np.append(count, num_rows - count.sum()).astype(np.float64)
        every[np.bincount(code % len(every), minlength=len(every)) == 0] = 0
        wanted.append(every * (num_rows / max(every.sum(), 1)))
    for _ in range(MANY_TIMES):
        worst = 0.0
        for code, count in zip(code_NS.T, wanted, strict=True):
            found = np.bincount(code % len(count), weight, len(count))
            factor = np.divide(count, found, out=np.ones(len(count)), where=found > 0)
            weight = weight * factor[code % len(count)]
            worst = max(worst, float(np.abs(factor - 1)[found > 0].max(initial=0)))
        if worst < CLOSE_ENOUGH:
            break
    return weight
