"""A decoder for tests: two workers, short limits, and whatever else a test wants."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from components.serve.pictures.config import PicturesConfig
from components.serve.pictures.decoder import Decoder
from tests.serve.poison_worker import COMMAND


def pictures_config(**changes: Any) -> PicturesConfig:
    """A pool that loses patience after a second."""
    made: dict[str, Any] = {
        "workers": 2,
        "timeout_s": 1.0,
        "memory_mib": 512,
        "max_pixels": 4_000_000,
        "max_queued": 64,
        "max_queued_mib": 64,
        "recycle_after": 10_000,
        "remembered": 100,
        "max_quarantined": 100,
        "max_kept": 10,
        "max_kept_mib": 8,
    }
    return PicturesConfig(**made | changes)


@asynccontextmanager
async def opened(
    *, command: Sequence[str] = COMMAND, condemned: list[tuple[bytes, str]] | None = None, **changes: Any
) -> AsyncIterator[Decoder]:
    """A decoder, closed in the end. What it condemns is added to `condemned`."""

    async def condemn(data: bytes, cause: str) -> None:
        if condemned is not None:
            condemned.append((data, cause))

    decoder = await Decoder.open(pictures_config(**changes), condemn=condemn, command=command)
    try:
        yield decoder
    finally:
        await decoder.close()


async def together(*awaitables: Any) -> list[Any]:
    """What each returns or raises, in order."""
    return await asyncio.gather(*awaitables, return_exceptions=True)
