"""What no generation takes, whichever backend keeps it: each check raises Refused, so that nothing of it reaches a disk or a server."""

import dataclasses
import datetime as dt
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.serve.index.generation import About
from components.serve.items import Filters, Item, Placed
from components.serve.problems import Refused

UNIT_TOLERANCE = 1e-3  # vectors that were kept as float16 are off by up to 2**-11
MAX_PX = 2**31 - 1
MAX_KEY_BYTES = 1000  # of an item_id and of a category's name: what a database indexes is bounded
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
TEXTS = ("item_id", "title", "currency", "status", "image_id", "seller_id", "product_id", "description", "app_version")
MAY_BE_NULL = frozenset({"seller_id", "product_id", "description", "app_version"})


def same_space(fingerprint: str, about: About) -> None:
    """Raises Refused fingerprint_mismatch where the vectors are of another model than the generation's."""
    if fingerprint != about.fingerprint:
        raise Refused(
            "fingerprint_mismatch", f"generation {about.name} holds vectors of {about.fingerprint}, these are of {fingerprint!r:.66}"
        )


def name_of(name: str) -> str:
    """The generation's name, where it is one: it becomes a folder. Raises Refused invalid."""
    if not NAME.fullmatch(name):
        raise Refused("invalid", f"{name!r:.66} names no generation: use a-z, 0-9, - and _, at most 48 of them")
    return name


def about(name: str, release_id: str, fingerprint: str, dim: int) -> About:
    """The identity of a new generation, not complete. Raises Refused invalid."""
    if dim < 1:
        raise Refused("invalid", f"vectors have 1 value or more, found {dim}")
    for value, what in ((release_id, "release_id"), (fingerprint, "fingerprint")):
        text(value, what)
    created = dt.datetime.now(dt.UTC)
    return About(name=name_of(name), release_id=release_id, fingerprint=fingerprint, dim=dim, created_at=created, complete=False)


def text(value: Any, what: str) -> str:
    """The text, where UTF-8 and a database can hold it. Raises Refused invalid."""
    if not isinstance(value, str):
        raise Refused("invalid", f"{what} must be text, found {type(value).__name__}")
    if "\0" in value:
        raise Refused("invalid", f"{what} holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("invalid", f"{what} holds half of a surrogate pair") from None
    return value


def vectors(values: Any, dim: int) -> np.ndarray:
    """(N, D) float32, contiguous, every row of unit length. Raises Refused invalid."""
    try:
        array = np.ascontiguousarray(values, np.float32)
    except (TypeError, ValueError):
        raise Refused("invalid", "a vector must be an array of numbers, all of one width") from None
    if array.ndim != 2 or array.shape[1] != dim:
        raise Refused("invalid", f"vectors of {dim} values are wanted, found shape {array.shape[1:]}")
    lengths = np.sqrt(np.einsum("nd,nd->n", array, array, dtype=np.float64))
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():  # also where a value is not a number
        raise Refused("invalid", f"vectors must have length 1, found {lengths[np.argmax(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))]:.6g}")
    return array


def query(vector_D: Any, k: int, filters: Filters, about: About) -> np.ndarray:
    """(D,) float32 of unit length, where all of the question can be answered. Raises Refused invalid."""
    if k < 1:
        raise Refused("invalid", f"k must be 1 or more, found {k}")
    for part in (*filters.category, *filters.status):
        text(part, "a filter")
    if any(bound is not None and math.isnan(bound) for bound in (filters.min_price, filters.max_price)):
        raise Refused("invalid", "a bound of the price is not a number")
    if _is_sound(vector_D, about.dim):
        return np.ascontiguousarray(vector_D)
    found: np.ndarray = vectors([vector_D] if np.ndim(vector_D) == 1 else vector_D, about.dim)[0]
    return found


def _is_sound(vector_D: Any, dim: int) -> bool:
    """True for what vectors() would let through as it is, at a tenth of its cost."""
    return (
        isinstance(vector_D, np.ndarray)
        and vector_D.dtype == np.float32
        and vector_D.shape == (dim,)
        and abs(math.sqrt(float(vector_D @ vector_D)) - 1) <= UNIT_TOLERANCE
    )


def rows(placed: Sequence[Placed], about: About) -> list[Placed]:
    """The rows with their times in UTC and vectors in float32, where each can be kept. Raises Refused invalid for the first that cannot."""
    if not placed:
        return []
    found = vectors([row.vector for row in placed], about.dim)
    return [Placed(_item(row.item), vector, _score(row)) for row, vector in zip(placed, found, strict=True)]


def _score(row: Placed) -> float:
    if not 0 <= row.image_score <= 1:
        raise Refused("invalid", f"item {row.item.item_id!r:.66}: image_score must lie in [0, 1], found {row.image_score}")
    return float(row.image_score)


def _item(item: Item) -> Item:
    _texts(item)
    for name, number in (("price", item.price), *(item.stats or {}).items()):
        if not math.isfinite(number):
            raise Refused("invalid", f"item {item.item_id!r:.66}: {name} is not a finite number")
    if not (0 <= item.width <= MAX_PX and 0 <= item.height <= MAX_PX):
        raise Refused("invalid", f"item {item.item_id!r:.66}: {item.width} x {item.height} is no size of a picture")
    return dataclasses.replace(
        item,
        category=tuple(map(sys.intern, item.category)),
        price=float(item.price),
        created_at=utc(item.created_at, "created_at"),
        updated_at=utc(item.updated_at, "updated_at"),
        stats=None if item.stats is None else {sys.intern(name): float(value) for name, value in item.stats.items()},
    )


def _texts(item: Item) -> None:
    for name in TEXTS:
        if (value := getattr(item, name)) is not None or name not in MAY_BE_NULL:
            text(value, name)
    for name in item.stats or {}:
        text(name, "stats")
    for key, what in ((item.item_id, "item_id"), *((part, "category") for part in item.category)):
        if not text(key, what) or len(key.encode()) > MAX_KEY_BYTES:
            raise Refused("invalid", f"{what} must have 1 to {MAX_KEY_BYTES} bytes, found {len(key.encode())}")


def utc(time: dt.datetime, what: str) -> dt.datetime:
    """The same moment in UTC. Raises Refused invalid where the time names no zone, or has no equal in UTC."""
    if time.tzinfo is None:
        raise Refused("invalid", f"{what} names no time zone")
    try:
        return time if time.tzinfo is dt.UTC else time.astimezone(dt.UTC)
    except OverflowError:
        raise Refused("invalid", f"{what} {time} lies outside the calendar in UTC") from None
