"""Vectors as gates look at them: read shard by shard and reduced to numbers a row, so that memory does not grow with their width.

Shape suffixes: N rows of a shard, K width of a vector, P random pairs.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.expectations.tables import ROW, SHARD, located, located_rows, num_rows
from components.shards import shard_paths

PLACE = [SHARD, ROW]


@dataclass(frozen=True)
class Vectors:
    """One row an embedded item, and one row a random pair of items with different pictures: first_item, second_item, cosine."""

    items: pd.DataFrame
    pairs: pd.DataFrame


def vectors_of(embeddings: Path, listings: Path, num_random_pairs: int, seed: int) -> Vectors:
    """Every row of embeddings. See items_rows for the columns; a pair of two rows with the same picture is left out."""
    total = num_rows(embeddings)
    rng = np.random.default_rng(seed)
    drawn_2P = rng.integers(0, total, (2, num_random_pairs)) if total else np.zeros((2, 0), np.int64)
    wanted = np.unique(drawn_2P)
    parts, kept, start = [], [], 0
    for shard, path in enumerate(shard_paths(embeddings)):
        table = pq.read_table(path)
        vector_NK = matrix_of(table)
        parts.append(located(_measured(table, vector_NK), shard))
        kept.append(vector_NK[wanted[(wanted >= start) & (wanted < start + len(table))] - start])
        start += len(table)
    rows = pl.from_pandas(pd.concat(parts, ignore_index=True))
    return Vectors(items_rows(rows, listings), pairs_rows(rows, np.concatenate(kept), np.searchsorted(wanted, drawn_2P), wanted))


def matrix_of(table: pa.Table) -> np.ndarray:
    """float16 (N, K): the table's vectors."""
    column = table["vector"].combine_chunks()
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float16, copy=False).reshape(len(table), -1) if len(table) else np.zeros((0, column.type.list_size), np.float16)


def _measured(table: pa.Table, vector_NK: np.ndarray) -> pd.DataFrame:
    wide_NK = vector_NK.astype(np.float32)
    finite = np.asarray(np.isfinite(wide_NK).all(axis=1))
    frame: pd.DataFrame = table.select(["item_id", "image_id", "fingerprint", "image_score"]).to_pandas()
    return frame.assign(
        image_score=frame["image_score"].fillna(np.inf),  # not a number is no score, though Great Expectations would pass over it
        finite=finite,
        norm=np.where(finite, np.linalg.norm(np.where(finite[:, None], wide_NK, 0), axis=1), np.inf),
        digest=[hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in vector_NK],
    )


def items_rows(rows: pl.DataFrame, listings: Path) -> pd.DataFrame:
    """One row an embedded item.

    listed: it is a listing; own_picture: the vector was made of that listing's picture; identical_share: the share of all items that
    have this very vector, 0 where they all have this picture too.
    """
    known = located_rows(listings, ["item_id", "image_id"]).unique("item_id", keep="first").select("item_id", listed_image="image_id")
    pictures, sharers = pl.col("image_id").n_unique().over("digest"), pl.len().over("digest")
    return (
        rows.join(known, on="item_id", how="left", maintain_order="left")
        .with_columns(
            listed=pl.col("listed_image").is_not_null(),
            own_picture=(pl.col("listed_image") == pl.col("image_id")).fill_null(False),
            identical_share=pl.when(pictures > 1).then(sharers / pl.len()).otherwise(0.0),
        )
        .drop("listed_image", "digest", "image_id")
        .to_pandas()
    )


def pairs_rows(rows: pl.DataFrame, kept: np.ndarray, place_2P: np.ndarray, wanted: np.ndarray) -> pd.DataFrame:
    """One row a random pair with different pictures and finite vectors. `kept` has the vectors of the rows `wanted`."""
    first, second = (rows[wanted[place]] for place in place_2P)
    a_PK, b_PK = (kept[place].astype(np.float32) for place in place_2P)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cosine = (a_PK * b_PK).sum(axis=1) / (np.linalg.norm(a_PK, axis=1) * np.linalg.norm(b_PK, axis=1))
    frame = pd.DataFrame({"first_item": first["item_id"].to_pandas(), "second_item": second["item_id"].to_pandas(), "cosine": cosine})
    different = (first["image_id"] != second["image_id"]).to_numpy() & np.isfinite(cosine)
    return frame[different].reset_index(drop=True)


def listings_rows(listings: Path, embeddings: Path) -> pd.DataFrame:
    """One row a listing: num_vectors counts its rows in embeddings."""
    counts = located_rows(embeddings, ["item_id"]).group_by("item_id").agg(num_vectors=pl.len())
    rows = located_rows(listings, ["item_id"]).join(counts, on="item_id", how="left", maintain_order="left")
    return rows.with_columns(pl.col("num_vectors").fill_null(0)).to_pandas()
