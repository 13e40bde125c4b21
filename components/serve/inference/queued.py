"""Both towers of a bundle behind their queues: what either backend becomes. Shape suffixes: B rows, K served width."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from components.serve.inference.backend import Status
from components.serve.inference.batcher import Batcher
from components.serve.inference.bisect import Poisonous, checked
from components.serve.problems import Refused
from components.towers import Serving

SOUND_TEXT = "a"

Picture = tuple[np.ndarray, float]


@dataclass(frozen=True)
class QueuedTowers:
    """One bundle's Inference. `ended` lets go of what the queues ran on; `setting` and `pictures_per_s` are for people."""

    serving: Serving
    pictures: Batcher[np.ndarray, Picture]
    texts: Batcher[str, np.ndarray]
    ended: Callable[[], Awaitable[None]]
    backend: str
    setting: str
    pictures_per_s: Mapping[str, float] = field(default_factory=dict)

    async def embed_square(self, square: np.ndarray) -> Picture:
        """(K,) float32 unit vector and calibrated score in [0, 1] of one uint8 (H, W, 3) square of serving.image_px."""
        side = self.serving.image_px
        if square.shape != (side, side, 3) or square.dtype != np.uint8:
            raise Refused("internal", f"a square of {side} px was expected, not {square.dtype} {square.shape}")
        answer = (await self.pictures.ask([square], side * side))[0]
        if isinstance(answer, Poisonous):
            raise Refused("picture_poisonous", "the model fails on this picture, alone and again, while it answers a sound one")
        return answer

    async def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(B, K) float32 unit vectors in the pictures' space. Raises Refused invalid for a text that the model fails on."""
        if not texts:
            return np.zeros((0, self.serving.dim), np.float32)
        answers = await self.texts.ask(texts)
        for place, answer in enumerate(answers):
            if isinstance(answer, Poisonous):
                raise Refused("invalid", f"the model fails on text {place} (from 0), while it answers a sound one")
        return np.stack([answer for answer in answers if not isinstance(answer, Poisonous)])

    def status(self) -> Status:
        """How it is set and what it did."""
        about = {"backend": self.backend, "setting": self.setting, "pictures_per_s": dict(self.pictures_per_s)}
        return Status(**about, pictures=self.pictures.status(), texts=self.texts.status())  # type: ignore[arg-type]

    async def close(self) -> None:
        """Ends what it started, after what was asked is answered."""
        await self.pictures.close()
        await self.texts.close()
        await self.ended()


def picture_answers(
    vectors: np.ndarray, raw: np.ndarray, calibrator: Callable[[np.ndarray], np.ndarray], num_rows: int, dim: int
) -> list[Picture]:
    """Vector and calibrated score by row, each a copy of its own. Raises Failed where they are no answers."""
    checked(vectors, raw, num_rows, dim)
    return [(vector.copy(), float(score)) for vector, score in zip(vectors, calibrator(raw), strict=True)]


def text_answers(vectors: np.ndarray, num_rows: int, dim: int) -> list[np.ndarray]:
    """Vectors by row. Raises Failed where they are no answers."""
    checked(vectors, None, num_rows, dim)
    return [vector.copy() for vector in vectors]


def sound_square(side_px: int) -> np.ndarray:
    """uint8 (side, side, 3) of soft noise about grey: a picture that every sound model answers."""
    return np.random.default_rng(0).normal(127, 20, (side_px, side_px, 3)).clip(0, 255).astype(np.uint8)
