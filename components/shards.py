"""Tables as parquet shards, placed by a hash of their key."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import BadData


def shard_of(key: str, num_shards: int) -> int:
    """The shard of `key`, in [0, num_shards): sha256(key) mod num_shards, so a row's place depends on nothing but its key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % num_shards


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.parquet"


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Writes one parquet file whose bytes depend on the table alone. Raises BadData where the table does not fit the schema."""
    try:
        table = table.select(schema.names).cast(schema)
        table.validate(full=False)
    except (KeyError, pa.ArrowInvalid, ValueError) as error:
        raise BadData(f"{path.name}: the table does not fit its schema: {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", write_statistics=True)


def write_shards(folder: Path, table: pa.Table, schema: pa.Schema, num_shards: int, *, key: str = "item_id") -> None:
    """Writes `num_shards` files below `folder`, empty ones included; rows keep their order within a shard."""
    shard = shards_of(table.column(key), num_shards)
    for index in range(num_shards):
        write_table(folder / shard_name(index), table.take(pa.array(np.flatnonzero(shard == index))), schema)


def shards_of(keys: pa.ChunkedArray, num_shards: int) -> np.ndarray:
    """int64 (rows,): the shard of each key. Each different key is hashed once."""
    encoded = keys.dictionary_encode().unify_dictionaries()
    if not len(keys):
        return np.zeros(0, np.int64)
    of_key = np.array([shard_of(key, num_shards) for key in encoded.chunk(0).dictionary.to_pylist()], np.int64)
    return np.concatenate([of_key[chunk.indices.to_numpy()] for chunk in encoded.chunks])


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a table, in order. Raises BadData where the folder holds none."""
    paths = sorted(folder.glob("shard-*.parquet"))
    if not paths:
        raise BadData(f"{folder} holds no shards (shard-*.parquet)")
    return paths


def read_shards(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """The whole table, shards in order."""
    return pa.concat_tables([pq.read_table(path, columns=columns) for path in shard_paths(folder)])


def batched_shards(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Each shard's stem and table, one in memory at a time."""
    for path in shard_paths(folder):
        yield path.stem, pq.read_table(path)
