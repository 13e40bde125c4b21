"""Rows of a generation's table from items, and items from rows."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
from pgvector import HalfVector
from psycopg.types.json import Jsonb

from components.serve.index.generation import About
from components.serve.index.postgres.tables import FIELDS
from components.serve.items import Hit, Item, Placed


def about_of(row: Sequence[Any]) -> About:
    """The identity, from tables.ABOUT."""
    name, release_id, fingerprint, dim, created_at, complete = row
    return About(name=name, release_id=release_id, fingerprint=fingerprint, dim=dim, created_at=created_at, complete=complete)


def half(vector: np.ndarray) -> HalfVector:
    """The vector as the database keeps it: 16 bits a value, as the embeddings table does."""
    return HalfVector(vector.astype(np.float16))


def to_row(row: Placed) -> list[Any]:
    """The values of tables.COLUMNS."""
    values = {name: getattr(row.item, name) for name in FIELDS}
    values["category"] = list(row.item.category)
    values["stats"] = None if row.item.stats is None else Jsonb(dict(row.item.stats))
    return [*values.values(), row.image_score, half(row.vector)]


def from_row(row: Sequence[Any]) -> Placed:
    """The item of tables.COLUMNS; its vector has unit length in float32 again."""
    vector = row[-1].to_numpy().astype(np.float32)
    return Placed(item_of(row[: len(FIELDS)]), vector / np.linalg.norm(vector), float(row[-2]))


def hit_of(row: Sequence[Any]) -> Hit:
    """A neighbour, from cosine, score and FIELDS."""
    return Hit(item_of(row[2:]), min(1.0, max(-1.0, float(row[0]))), float(row[1]))


def item_of(values: Sequence[Any]) -> Item:
    """The item of FIELDS."""
    fields = dict(zip(FIELDS, values, strict=True))
    for name in ("created_at", "updated_at"):
        fields[name] = fields[name].astimezone(dt.UTC)
    return Item(**fields | {"category": tuple(fields["category"])})
