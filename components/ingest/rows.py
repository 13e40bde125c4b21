"""What ingest passes between its sources, its checks and its shoppers, before anything is a table."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rejection:
    """Why a row or its picture was turned away: a code of docs/quarantine.md, and what was found."""

    reason: str
    detail: str


@dataclass(frozen=True)
class RawListing:
    """A listing as a source gave it, unchecked.

    `fields` maps columns of schema.LISTINGS to values as they came; absent or None means not given. `category` is a list of names,
    `created_at` an ISO string or a datetime. `picture` is None where the file is missing. `fault` is what the source itself found
    wrong with the row, such as a line whose cells it could not tell apart.
    """

    fields: Mapping[str, object]
    picture: bytes | None
    picture_name: str
    fault: Rejection | None = None


@dataclass(frozen=True)
class CatalogueItem:
    """An accepted listing as shoppers see it. `quality` is the true photo quality in [0, 1]; None where nobody knows it."""

    item_id: str
    title: str
    category: tuple[str, ...]
    price: float
    seller_id: str | None
    quality: float | None
