"""What ingest passes between its sources, its checks and its shoppers, before anything is a table."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RawListing:
    """A listing as a source gave it, unchecked.

    `fields` maps columns of schema.LISTINGS to values as they came; absent or None means not given. `category` is a list of names,
    `created_at` an ISO string or a datetime. `picture` is None where the file is missing.
    """

    fields: Mapping[str, object]
    picture: bytes | None
    picture_name: str


@dataclass(frozen=True)
class CatalogueItem:
    """An accepted listing as shoppers see it. `quality` is the true photo quality in [0, 1]; None where nobody knows it."""

    item_id: str
    title: str
    category: tuple[str, ...]
    price: float
    seller_id: str | None
    quality: float | None
