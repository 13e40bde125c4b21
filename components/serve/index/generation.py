"""An index as the gateway sees it: generations of one fingerprint each, and an alias that says which one answers."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from components.serve.items import Filters, Hit, Placed


@dataclass(frozen=True, kw_only=True)
class About:
    """A generation's identity. `release_id` is the digest of the bundle whose towers made its vectors, `dim` their width."""

    name: str
    release_id: str
    fingerprint: str
    dim: int
    created_at: dt.datetime
    complete: bool  # False while it is being built


@dataclass(frozen=True)
class Alias:
    """Which generation answers, and those that answered before it, newest first. `version` rises with each switch."""

    active: str | None
    previous: tuple[str, ...]
    version: int


class Generation(Protocol):
    """Items in one vector space. Whatever is asked or written with another fingerprint raises Refused fingerprint_mismatch."""

    @property
    def about(self) -> About:
        """Its identity."""

    async def search(self, vector_D: np.ndarray, k: int, filters: Filters, *, fingerprint: str, exact: bool = False) -> list[Hit]:
        """The k nearest items that the filters admit, best first; fewer where there are fewer. `vector_D` is float32 of unit length.

        `exact` compares with every admitted item.
        """

    async def get(self, item_id: str) -> Placed | None:
        """The item, or None where it was never there or was deleted."""

    async def put(self, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """How many of the rows were newer than what stood there (item.updated_at); they are durable and can be found when this returns.

        Of two with the same updated_at the later write stays.
        """

    async def delete(self, item_id: str, at: dt.datetime) -> bool:
        """True where an item no newer than `at` was there and is gone. Older rows that come later do not bring it back."""

    async def count(self) -> int:
        """How many items can be found."""

    async def sample(self, n: int, seed: int) -> list[Placed]:
        """n items at random, or all where there are fewer. The same seed gives the same ones as long as nothing is written."""

    async def page(self, after: str | None, limit: int) -> list[Placed]:
        """The next `limit` items by item_id, in the order of code points, for copying a generation."""

    async def item_ids(self, after: str | None, limit: int) -> list[str]:
        """The next `limit` ids in the order of page(), for comparing what generations hold."""

    async def score_quantiles(self) -> np.ndarray:
        """(101,) the percentiles 0 to 100 of the items' Image Scores; empty where there are no items. May lag behind by a minute."""


class IndexStore(Protocol):
    """Generations and the alias, kept across restarts."""

    async def generations(self) -> list[About]:
        """All that are kept, oldest first."""

    async def create(self, name: str, *, release_id: str, fingerprint: str, dim: int) -> Generation:
        """An empty generation, not complete. Raises Refused release_refused where the name is taken."""

    async def fill(self, name: str, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """As put(), in bulk and only where nothing as new stands: for building, while puts go on; durable once finished() returns."""

    async def finished(self, name: str) -> None:
        """Makes the generation searchable at full speed, and complete."""

    async def generation(self, name: str) -> Generation:
        """The generation, opened. Raises Refused release_unknown."""

    async def alias(self) -> Alias:
        """Which generation answers."""

    async def switch(self, name: str, *, version: int) -> Alias:
        """The alias after `name` became active, where its version still was `version`; raises Refused release_refused otherwise,
        or where the generation is not complete."""

    async def rollback(self) -> Alias:
        """The alias after the generation that answered before became active again. Raises Refused nothing_to_roll_back."""

    async def drop(self, name: str) -> None:
        """Forgets a generation that the alias does not name as active."""

    async def close(self) -> None:
        """Lets go of files and connections."""
