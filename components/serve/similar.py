"""Similar items out of a bundle: by item, by text or by photo."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.bundle import Bundle
from components.errors import BadData
from components.shards import shard_name, shard_of, shard_paths


@dataclass(frozen=True)
class Find:
    """One neighbour: its item and the cosine to the query, in [-1, 1], higher is more similar."""

    item_id: str
    cosine: float


def similar_to_item(bundle: Bundle, item_id: str, k: int) -> list[Find]:
    """The k nearest other items, best first. Raises BadData where the bundle's index has no such item."""
    try:
        row = bundle.index.item_ids.index(item_id)
    except ValueError:
        raise BadData(f"no item {item_id!r} among the {len(bundle.index.item_ids)} of this bundle; try {_some(bundle)}") from None
    finds = similar_to_vector(bundle, bundle.index.vector_of(row), k + 1)
    return [find for find in finds if find.item_id != item_id][:k]


def similar_to_text(bundle: Bundle, text: str, k: int) -> list[Find]:
    """The k items whose photos lie nearest to a text. Raises BadData for an empty one."""
    if not text.strip():
        raise BadData("the text is empty: say what to look for")
    return similar_to_vector(bundle, bundle.towers.embed_titles([text])[0], k)


def similar_to_photo(bundle: Bundle, data: bytes, k: int) -> list[Find]:
    """The k items nearest to a photo that need not be in the catalogue. Raises BadPicture."""
    return similar_to_vector(bundle, bundle.towers.embed_picture(data)[0], k)


def similar_to_vector(bundle: Bundle, vector_D: np.ndarray, k: int) -> list[Find]:
    """The k nearest items to a unit vector of the bundle's own space."""
    cosines, rows = bundle.index.search(vector_D[None], k)
    return [Find(bundle.index.item_ids[r], float(c)) for c, r in zip(cosines[0], rows[0], strict=True) if r >= 0]


def _some(bundle: Bundle) -> str:
    return ", ".join(bundle.index.item_ids[:3]) or "another bundle, this one is empty"


def listing_of(listings: Path, item_id: str) -> dict[str, object]:
    """The listing's row, read from its one shard. Raises BadData where there is none."""
    path = listings / shard_name(shard_of(item_id, len(shard_paths(listings))))
    rows = pq.read_table(path, filters=[("item_id", "=", item_id)]).to_pylist()
    if not rows:
        raise BadData(f"{item_id} is in the bundle but not in {listings}: the workspace holds another catalogue")
    row: dict[str, object] = rows[0]
    return row


def photo_of(images: Path, item_id: str, image_id: str) -> bytes:
    """The encoded photo, from the shard of the item that shows it."""
    path = images / shard_name(shard_of(item_id, len(shard_paths(images))))
    data: bytes = pq.read_table(path, columns=["data"], filters=[("image_id", "=", image_id)])["data"][0].as_py()
    return data
