"""Rows that a failed gate speaks of, as they stand in their tables."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.expectations.findings import Finding
from components.expectations.suites import POSITION
from components.expectations.tables import ROW, SHARD
from components.shards import shard_paths

BINARY = (pa.types.is_binary, pa.types.is_large_binary)


def example_rows(finding: Finding) -> list[dict[str, Any]]:
    """The finding's rows with all columns of their table, then what the gate looked at; pictures and vectors are left out.

    Rows that stand in no table are shown as the gate saw them.
    """
    return [_whole_row(finding, row) for row in finding.rows]


def _whole_row(finding: Finding, seen: Mapping[str, Any]) -> dict[str, Any]:
    if finding.source is None or SHARD not in seen:
        return {name: value for name, value in seen.items() if name != POSITION}
    path = shard_paths(finding.source)[int(seen[SHARD])]
    columns = [field.name for field in pq.read_schema(path) if not _is_bulky(field.type)]
    row = pq.read_table(path, columns=columns).slice(int(seen[ROW]), 1).to_pylist()[0]
    return {**row, **{name: seen[name] for name in finding.columns if name in seen and name not in row}}


def _is_bulky(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in BINARY) or pa.types.is_fixed_size_list(kind)
