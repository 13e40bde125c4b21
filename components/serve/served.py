"""One release in service: a bundle's towers, and the generation of the index that holds their vectors."""

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.bundle import GOLDEN, GOLDEN_TITLES
from components.serve.index.generation import Generation
from components.serve.inference.backend import Inference


@dataclass(frozen=True)
class Golden:
    """Inputs of a bundle with the answers that they must get. `vectors` and `title_vectors` are float32 of unit length."""

    pictures: list[bytes]
    image_ids: list[str]
    vectors: np.ndarray
    scores: np.ndarray
    titles: list[str]
    title_vectors: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> "Golden":
        """Those kept in a bundle."""
        photos, titles = pq.read_table(folder / GOLDEN), pq.read_table(folder / GOLDEN_TITLES)
        return cls(
            photos["data"].to_pylist(),
            photos["image_id"].to_pylist(),
            np.array(photos["vector"].to_pylist(), np.float32),
            photos["image_score"].to_numpy(),
            titles["title"].to_pylist(),
            np.array(titles["vector"].to_pylist(), np.float32),
        )


@dataclass
class Served:
    """A release that can answer. `leases` counts the requests that it is answering: it is closed after the last."""

    release_id: str
    folder: Path
    manifest: dict[str, Any]
    inference: Inference
    generation: Generation
    golden: Golden
    leases: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def fingerprint(self) -> str:
        """The identity of its vectors."""
        return self.inference.serving.fingerprint

    @functools.cached_property
    def stamp(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers by which an answer says whose it is."""
        return ((b"x-release-id", self.release_id.encode()), (b"x-fingerprint", self.fingerprint.encode()))

    @contextmanager
    def lease(self) -> Iterator["Served"]:
        """Keeps the release open for the block."""
        self.leases += 1
        try:
            yield self
        finally:
            self.leases -= 1
            if not self.leases:
                self._idle.set()

    async def close(self) -> None:
        """Closes the towers once nobody is answered by them any more."""
        while self.leases:
            self._idle.clear()
            await self._idle.wait()
        await self.inference.close()
