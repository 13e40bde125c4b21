"""Stores and rows for tests of the index: both backends behind one way to open them."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contract import bind, read_params
from components.neighbours import IndexConfig
from components.serve.index.config import IndexServeConfig
from components.serve.index.generation import Generation, IndexStore
from components.serve.index.store import open_index
from components.serve.items import Item, Placed
from tests.conftest import PROJECT, merge

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DIM = 16
FLAT = IndexConfig(flat_below=10**6, num_cells=16, num_probes=4)
CELLS = IndexConfig(flat_below=200, num_cells=16, num_probes=4)


def index_config(changes: dict[str, Any] | None = None) -> IndexServeConfig:
    """`serve.index` of params.yaml, changed where a test says so."""
    serve = read_params(PROJECT / "params.yaml")["serve"]
    merge(serve["index"], changes or {})
    return bind(IndexServeConfig, "index", serve)


@dataclass(frozen=True)
class Place:
    """Where a store keeps what it holds: opened again, it is all there."""

    backend: str
    state: Path

    @asynccontextmanager
    async def open(self, index: IndexConfig = CELLS, **changes: Any) -> AsyncIterator[IndexStore]:
        """The store until the block ends."""
        store = await open_index(index_config({"backend": self.backend, **changes}), self.state, index)
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def generation(self, rows: list[Placed] | None = None, *, dim: int = DIM) -> AsyncIterator[tuple[IndexStore, Generation]]:
        """A store with one complete generation `g` of the rows."""
        async with self.open() as store:
            await store.create("g", release_id="r" * 64, fingerprint="fp", dim=dim)
            for start in range(0, len(rows or []), 1000):
                await store.fill("g", (rows or [])[start : start + 1000], fingerprint="fp")
            await store.finished("g")
            yield store, await store.generation("g")


@contextmanager
def either(request: pytest.FixtureRequest, state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place in the backend that the fixture's parameter names: embedded, or postgres with a database of its own."""
    if request.param == "embedded":
        yield Place("embedded", state)
        return
    from tests.serve.postgres_server import database

    with database(request.getfixturevalue("postgres"), monkeypatch, uuid.uuid4().hex):
        yield Place("postgres", state)


def unit(rows: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """(rows, dim) float32 in about 20 clusters, each of unit length, and kept exactly by 16 bits a value up to its length."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dim))
    vectors = centres[rng.integers(0, 20, rows)] + 0.6 * rng.normal(size=(rows, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def item(item_id: str, **changes: Any) -> Item:
    """A listing; what a test does not care for is filled in."""
    fields: dict[str, Any] = {
        "item_id": item_id,
        "title": f"title of {item_id}",
        "category": ("fashion", "shoes"),
        "price": 1000.0,
        "currency": "JPY",
        "status": "on_sale",
        "image_id": f"image of {item_id}",
        "created_at": T0,
        "updated_at": T0,
        "seller_id": "s1",
        "width": 640,
        "height": 480,
        "stats": {"brightness": 0.5, "sharpness": 1.5},
    }
    return Item(**fields | changes)


def placed(item_id: str, vector: np.ndarray, *, score: float = 0.5, **changes: Any) -> Placed:
    """The listing with its vector."""
    return Placed(item(item_id, **changes), vector, score)


def rows_of(vectors: np.ndarray) -> list[Placed]:
    """Items i00000, i00001 ... with categories, prices, statuses and scores that vary."""
    leaves = [("fashion", "shoes"), ("fashion", "bags"), ("fashion", "shoes", "boots"), ("食品", "果物, 野菜"), ("o'clock", 'say "hi"')]
    return [
        placed(
            f"i{n:05d}",
            vector,
            score=n % 101 / 100,
            category=leaves[n % len(leaves)],
            price=float(n % 1000),
            status="sold" if n % 4 == 0 else "on_sale",
        )
        for n, vector in enumerate(vectors)
    ]


def nearest(rows: list[Placed], query: np.ndarray, k: int) -> list[str]:
    """The ids of the k nearest rows, found by comparison with each."""
    cosines = np.array([row.vector for row in rows]).reshape(-1, len(query)) @ query
    return [rows[n].item.item_id for n in np.argsort(-cosines, kind="stable")[:k]]


def recall(found: list[list[str]], wanted: list[list[str]]) -> float:
    """The share of what was wanted that was found; 1 where nothing was wanted."""
    missed = sum(len(set(w) - set(f)) for f, w in zip(found, wanted, strict=True))
    return 1 - missed / max(1, sum(map(len, wanted)))
