"""Writes to an embedded index until it is killed, and says on standard output what was begun and what was acknowledged.

    python -m tests.serve.index_writer STATE SEED ROUND

Items come in pairs, written by one put; a pair has one version, which rises with each write. Deleting one of a pair is a write too.
"""

import asyncio
import datetime as dt
import random
import sys
from pathlib import Path

import numpy as np

from components.serve.index.generation import Generation
from components.serve.items import Placed
from tests.serve.index_stores import CELLS, T0, Place, item

NUM_PAIRS = 150
DIM = 24
SMALL = {"compact_after": 60}  # so that a snapshot is in the making most of the time


def vector_of(pair: int, side: str, version: int) -> np.ndarray:
    """The vector of one version of an item."""
    vector = np.random.default_rng([pair, ord(side), version]).normal(size=DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def row_of(pair: int, side: str, version: int) -> Placed:
    """One version of an item."""
    changed = item(f"{side}{pair:03d}", title=str(version), price=float(version), updated_at=T0 + dt.timedelta(seconds=version))
    return Placed(changed, vector_of(pair, side, version), version % 101 / 100)


async def write(generation: Generation, pair: int, version: int, *, delete: bool) -> None:
    """One write of the pair, told before and after."""
    print("begin", pair, version, int(delete), flush=True)
    if delete:
        await generation.delete(f"a{pair:03d}", T0 + dt.timedelta(seconds=version))
    else:
        await generation.put([row_of(pair, side, version) for side in "ab"], fingerprint="fp")
    print("done", pair, version, int(delete), flush=True)


async def main(state: Path, seed: int, turn: int) -> None:
    """Never returns."""
    rng = random.Random(seed * 1000 + turn)
    async with Place("embedded", state).open(CELLS, embedded=SMALL) as store:
        if not await store.generations():
            await store.create("g", release_id="r", fingerprint="fp", dim=DIM)
            await store.finished("g")
        generation = await store.generation("g")
        print("open", await generation.count(), flush=True)

        async def worker(first: int) -> None:
            version = turn * 1_000_000
            while True:
                for pair in rng.sample(range(first, NUM_PAIRS, 10), 5):
                    version += 1
                    await write(generation, pair, version, delete=rng.random() < 0.2)

        await asyncio.gather(*(worker(first) for first in range(10)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
