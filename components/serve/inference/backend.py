"""What turns pixels and text into vectors, behind one small interface. Shape suffixes: B rows, K served width."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from components.towers import Serving


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """One queue: what waits now, and what became of rows since the start. `row_s` is the measured time of a row, None before the first."""

    queued_rows: int
    queued_pixels: int
    num_batches: int
    num_rows: int
    num_poisonous: int
    num_refused: int
    num_cancelled: int
    row_s: float | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a backend is set and what it did. `pictures_per_s` has what was measured, by setting; empty where nothing was."""

    backend: str
    setting: str
    pictures_per_s: dict[str, float]
    pictures: QueueStatus
    texts: QueueStatus


class Inference(Protocol):
    """Both towers of one bundle. Raises Refused inference_failed where they cannot be reached, overloaded where their queue is full."""

    @property
    def serving(self) -> Serving:
        """Fingerprint, width, side of the input in px."""

    async def embed_square(self, square: np.ndarray) -> tuple[np.ndarray, float]:
        """(K,) float32 unit vector and calibrated score in [0, 1] of one uint8 (H, W, 3) square of serving.image_px.

        Batched with others behind the scenes. Raises Refused picture_poisonous where this very picture breaks the model, alone and while
        a sound one passes.
        """

    async def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(B, K) float32 unit vectors in the pictures' space."""

    async def close(self) -> None:
        """Ends what it started, after what was asked is answered."""

    def status(self) -> Status:
        """How it is set and what it did, for /metrics and the page."""
