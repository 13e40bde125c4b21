"""The held-out items as they would be served, and vectors by item from anywhere else. N = held-out items, D = vector width."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.errors import BadBundle, BadData
from components.photos import owner_of
from components.shards import batched_shards, read_shards

LISTING_COLUMNS = ["item_id", "seller_id", "product_id", "category", "image_id", "source", "title"]


@dataclass(frozen=True)
class HeldOut:
    """Test items that have a served vector, sorted by item_id. `num_without_vector` counts test items that have none.

    owner: the seller, else the product, else the split group. score_N is the served image score in [0, 1].
    """

    item_id: list[str]
    owner: list[str]
    product: list[str | None]
    category: list[tuple[str, ...]]
    source: list[str]
    title: list[str]
    image_id: list[str]
    vector_ND: np.ndarray
    score_N: np.ndarray
    num_without_vector: int = 0

    def positions(self) -> dict[str, int]:
        """The place of each item, by item_id."""
        return {item: n for n, item in enumerate(self.item_id)}


def read_held_out(listings: Path, splits: Path, embeddings: Path, fingerprint: str) -> HeldOut:
    """The test side of the split, with served vectors. Raises BadBundle where a vector is of another space than `fingerprint`."""
    sides = pl.DataFrame(read_shards(splits, ["item_id", "split", "group"])).filter(pl.col("split") == "test")
    rows = sides.join(pl.DataFrame(read_shards(listings, LISTING_COLUMNS)), on="item_id", how="inner").sort("item_id")
    vectors = _served(embeddings, rows["item_id"].to_list(), fingerprint)
    kept = rows.filter(pl.col("item_id").is_in(list(vectors)))
    served = [vectors[item] for item in kept["item_id"]]
    return HeldOut(
        item_id=kept["item_id"].to_list(),
        owner=[owner_of(*row) for row in kept.select("seller_id", "product_id", "group").rows()],
        product=kept["product_id"].to_list(),
        category=[tuple(path or ()) for path in kept["category"].to_list()],
        source=kept["source"].to_list(),
        title=kept["title"].to_list(),
        image_id=kept["image_id"].to_list(),
        vector_ND=np.stack([vector for vector, _ in served]) if served else np.zeros((0, 1), np.float32),
        score_N=np.array([score for _, score in served], np.float64),
        num_without_vector=len(rows) - len(kept),
    )


def _served(embeddings: Path, wanted: Sequence[str], fingerprint: str) -> dict[str, tuple[np.ndarray, float]]:
    found: dict[str, tuple[np.ndarray, float]] = {}
    for stem, shard in batched_shards(embeddings):
        other = sorted(set(shard["fingerprint"].to_pylist()) - {fingerprint})
        if other:
            raise BadBundle(
                f"embeddings/{stem} holds vectors of {', '.join(other)}, the exported model is {fingerprint}: "
                "vectors of two models are never compared. Run `dvc repro evaluate`, which embeds again."
            )
        table = shard.filter(pc.is_in(shard["item_id"], pa.array(wanted, pa.string())))
        values = zip(table["item_id"].to_pylist(), vectors_of(table["vector"], stem), table["image_score"].to_pylist(), strict=True)
        found.update((item, (vector, score)) for item, vector, score in values)
    return found


def vectors_of(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """float32 (rows, D), unit length, from a column of lists; a zero vector stays zero.

    Raises BadData where lists differ in length or hold anything that is not a finite number.
    """
    if not len(column):
        return np.zeros((0, 1), np.float32)
    widths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(widths) != 1 or not widths[0]:
        raise BadData(f"{where}: vectors must all have one length, found {sorted(map(str, widths))}")
    flat = pc.list_flatten(column).combine_chunks()
    if flat.null_count or not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        raise BadData(f"{where}: vectors must be numbers, found {flat.type} with {flat.null_count} nulls")
    rows = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(column), -1)
    if not np.isfinite(rows).all():
        raise BadData(f"{where}: {int((~np.isfinite(rows)).any(axis=1).sum())} of {len(rows)} vectors are not finite")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), np.float32)


def read_vectors(path: Path, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """Unit float32 vectors by item_id from one parquet file (item_id, vector: list of numbers), only of items that are wanted.

    Raises BadData where the file is missing, is no parquet, lacks a column, or has one item twice.
    """
    rule = f"{path}: vectors by item must be a parquet file with columns item_id (string) and vector (list of numbers)"
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise BadData(f"{rule}; there is no such file. Correct evaluate.external_vectors in params.yaml or put it there.") from None
    except pa.ArrowInvalid as error:
        raise BadData(f"{rule}; it cannot be read: {error}") from None
    columns = {name: table.schema.field(name).type for name in table.column_names}
    is_list = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    if "item_id" not in columns or "vector" not in columns or not any(test(columns["vector"]) for test in is_list):
        raise BadData(f"{rule}; found {', '.join(f'{name}: {kind}' for name, kind in columns.items())}")
    table = table.filter(pc.is_in(table["item_id"].cast(pa.string()), pa.array(list(wanted), pa.string())))
    items = table["item_id"].cast(pa.string()).to_pylist()
    if len(set(items)) < len(items):
        raise BadData(f"{rule}, one row an item; {len(items) - len(set(items))} rows repeat an item_id")
    return dict(zip(items, vectors_of(table["vector"], str(path)), strict=True))
