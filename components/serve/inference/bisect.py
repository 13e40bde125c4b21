"""One bad row must not take its batch down: a batch that fails is halved until the rows that break the model stand alone."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from components.serve.problems import Refused

log = logging.getLogger("vitrine")

Row = TypeVar("Row")
Answer = TypeVar("Answer")
Run = Callable[[Sequence[Row]], Awaitable[list[Answer]]]

MAX_NORM_ERROR = 0.001


class Failed(Exception):
    """A batch broke the model, or came back with what is no answer. It does not say which row was to blame."""


class Poisonous:
    """In place of an answer: this row breaks the model, alone and again, while a sound one passes."""


POISONOUS = Poisonous()


class Bisect(Generic[Row, Answer]):
    """Answers rows through `run`. `sound` is a row that the model has answered before."""

    def __init__(self, run: Run[Row, Answer], sound: Row) -> None:
        self.run, self.sound = run, sound

    async def __call__(self, rows: Sequence[Row]) -> list[Answer | Poisonous]:
        """An answer, or POISONOUS, for each row, in order. Raises Refused inference_failed where the model fails on a sound row too."""
        try:
            return [*await self.run(rows)]
        except Failed as failed:
            if len(rows) == 1:
                return [await self._alone(rows[0], failed)]
            log.warning("inference: a batch of %d rows failed and is halved: %s", len(rows), failed)
        half = len(rows) // 2
        return [*await self(rows[:half]), *await self(rows[half:])]

    async def _alone(self, row: Row, failed: Failed) -> Answer | Poisonous:
        """A second try decides: what broke the first may have passed, such as want of memory."""
        try:
            await self.run([self.sound])
        except Failed as broken:
            log.error("inference: the model fails on a sound row: %s", broken)
            raise Refused("inference_failed", "the model fails on sound input", retry_after_s=5) from None
        try:
            return (await self.run([row]))[0]
        except Failed:
            log.warning("inference: a row breaks the model while a sound one passes: %s", failed)
            return POISONOUS


def checked(vectors: np.ndarray, scores: np.ndarray | None, num_rows: int, dim: int) -> None:
    """Raises Failed where an answer is no (num_rows, dim) of unit vectors, or no finite score stands beside each."""
    if vectors.shape != (num_rows, dim) or (scores is not None and scores.shape != (num_rows,)):
        raise Failed(f"the model answers {num_rows} rows with the shape {vectors.shape}, not ({num_rows}, {dim})")
    error = np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1)
    if not (error <= MAX_NORM_ERROR).all() or (scores is not None and not np.isfinite(scores).all()):
        raise Failed("a vector is not of unit length, or a value is not finite")
