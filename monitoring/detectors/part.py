"""A segment of a window, as the detectors look at it.

N rows, C components, F features.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from monitoring.detectors.classifier import Side
from monitoring.detectors.config import DetectorsConfig
from monitoring.detectors.rows import FIELDS, Rows
from monitoring.detectors.space import Space
from monitoring.detectors.sums import Sums
from monitoring.detectors.weighted import Weighted


@dataclass(frozen=True)
class Placed:
    """The rows as a space sees them: coordinates, squared distance missed, and random Fourier features."""

    z_NC: np.ndarray
    missed_N: np.ndarray
    phi_NF: np.ndarray

    @classmethod
    def of(cls, rows: Rows, space: Space) -> "Placed":
        """Every row, those with an unsound vector too, which no detector looks at."""
        vectors = rows.vector_ND
        return cls(space.coordinates(vectors), space.missed(vectors, rows.fold_N), space.features(vectors))


@dataclass(frozen=True)
class Part:
    """A segment of a window: its rows by number."""

    rows: Rows
    placed: Placed | None
    index: np.ndarray
    cfg: DetectorsConfig
    sorted_numbers: dict[str, Weighted] = field(default_factory=dict, init=False)

    @property
    def weight(self) -> np.ndarray:
        """(N,) rows of the log that each row stands for."""
        return np.asarray(self.rows.weight_N[self.index])

    def number(self, name: str) -> Weighted:
        """A column's numbers, where there are any; sorted once, since several detectors and every later window ask for them."""
        if name not in self.sorted_numbers:
            self.sorted_numbers[name] = Weighted.of(self.rows.number[name][self.index], self.weight)
        return self.sorted_numbers[name]

    def shares(self, name: str, num_words: int) -> np.ndarray | None:
        """The share of the rows that have each word, among those that have one; None where none has."""
        code, weight = self.rows.word[name].code_N[self.index], self.weight
        counted = np.bincount(code[code >= 0], weight[code >= 0], minlength=num_words)
        return counted / counted.sum() if counted.sum() > 0 else None

    @cached_property
    def missing_shares(self) -> dict[str, float]:
        """The share of rows without the field, by field, among those that could have it; a field that none could have is left out."""
        weight = self.weight
        could, missing = weight @ self.rows.could_NM[self.index], weight @ self.rows.missing_NM[self.index]
        return {name: float(missing[i] / could[i]) for i, name in enumerate(FIELDS) if could[i] > 0}

    @cached_property
    def sound(self) -> np.ndarray:
        """The numbers of the rows whose vector is sound."""
        return np.asarray(self.index[self.rows.sound_N[self.index]])

    @cached_property
    def sums(self) -> Sums | None:
        """What adds up over the rows; None where no vector is sound."""
        if self.placed is None or not len(self.sound):
            return None
        rows, here = self.rows, self.sound
        placed = (rows.vector_ND[here], self.placed.missed_N[here], self.placed.phi_NF[here])
        return Sums.over(*placed, rows.weight_N[here], rows.block_N[here], self.cfg.num_blocks)

    def side(self) -> Side | None:
        """The rows for the domain classifier."""
        if self.placed is None:
            return None
        return Side(self.placed.z_NC[self.sound], self.rows.weight_N[self.sound], self.rows.fold_N[self.sound])
