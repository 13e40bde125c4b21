"""Tables as gates look at them: types by column, and rows that know which file and line they came from."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.shards import shard_paths

ABSENT = "absent"
SHARD, ROW = "shard", "row"


def types_of(folder: Path, schema: pa.Schema) -> pd.DataFrame:
    """One row a column and type found in any shard: column, found, expected. A column on one side only is `absent` on the other."""
    expected = {field.name: _kind(field) for field in schema}
    rows = set()
    for path in shard_paths(folder):
        found = {field.name: _kind(field) for field in pq.read_schema(path)}
        rows |= {(name, found.get(name, ABSENT), expected.get(name, ABSENT)) for name in found.keys() | expected.keys()}
    return pd.DataFrame(sorted(rows), columns=["column", "found", "expected"])


def _kind(field: pa.Field) -> str:
    """The type without the name of a list's element, which parquet renames."""
    kind = str(field.type)
    if pa.types.is_list(field.type):
        kind = f"list<{field.type.value_type}>"
    elif pa.types.is_fixed_size_list(field.type):
        kind = f"list<{field.type.value_type}>[{field.type.list_size}]"
    return kind if field.nullable else f"{kind} not null"


def located(frame: pd.DataFrame, shard: int) -> pd.DataFrame:
    """The rows of one shard, in its order, with the place of each: `shard` counts files, `row` lines of the file, both from 0."""
    return frame.assign(**{SHARD: np.int32(shard), ROW: np.arange(len(frame), dtype=np.int32)})


def located_rows(folder: Path, columns: list[str]) -> pl.DataFrame:
    """These columns of every row, shards in order, with the place of each row as `located` gives it."""
    parts = [
        pl.read_parquet(path, columns=columns)
        .select(columns)
        .with_columns(pl.lit(shard, pl.Int32).alias(SHARD), pl.int_range(pl.len(), dtype=pl.Int32).alias(ROW))
        for shard, path in enumerate(shard_paths(folder))
    ]
    return pl.concat(parts)


def num_rows(folder: Path) -> int:
    """Rows of a sharded table, from the files' footers."""
    return sum(pq.read_metadata(path).num_rows for path in shard_paths(folder))
