"""Rows on disk by shard, in one unnamed file, so that only the shard whose turn it is lies in memory."""

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROWS_A_CHUNK = 512
TIME = "$time"


class Chunks:
    """Bytes by shard, in the order they came. The file is gone with the process, however it ends."""

    def __init__(self, scratch: Path, num_shards: int) -> None:
        self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 (it lives as long as its owner)
        self._places: list[list[tuple[int, int]]] = [[] for _ in range(num_shards)]

    def add(self, shard: int, data: bytes | memoryview) -> tuple[int, int]:
        """Where the bytes lie: offset and length."""
        place = (self._file.tell(), len(data))
        self._file.write(data)
        self._places[shard].append(place)
        return place

    def of(self, shard: int) -> Iterator[bytes]:
        """The shard's chunks."""
        return map(self.at, self._places[shard])

    def at(self, place: tuple[int, int]) -> bytes:
        """The bytes that add() put there."""
        self._file.seek(place[0])
        data = self._file.read(place[1])
        self._file.seek(0, 2)
        return data


class TableSpill:
    """Rows of tables of one schema."""

    def __init__(self, scratch: Path, schema: pa.Schema, num_shards: int) -> None:
        self.schema = schema
        self._chunks = Chunks(scratch, num_shards)

    def add(self, table: pa.Table, shard_N: np.ndarray) -> None:
        """Puts each row of the table into its shard."""
        order = np.argsort(shard_N, kind="stable")
        table, shard_N = table.take(pa.array(order)), shard_N[order]
        shards, starts, counts = np.unique(shard_N, return_index=True, return_counts=True)
        for shard, start, count in zip(shards, starts, counts, strict=True):
            self._chunks.add(int(shard), _written(table.slice(start, count)))

    def shard(self, index: int) -> pa.Table:
        """The shard's rows."""
        return pa.concat_tables([self.schema.empty_table(), *(pa.ipc.open_stream(data).read_all() for data in self._chunks.of(index))])


def _written(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


class RowSpill:
    """Rows of plain values (text, numbers, lists, mappings, times), as JSON: what comes back is equal, but that tuples are lists."""

    def __init__(self, scratch: Path, num_shards: int) -> None:
        self._chunks = Chunks(scratch, num_shards)
        self._waiting: list[list[Any]] = [[] for _ in range(num_shards)]

    def add(self, shard: int, row: Any) -> None:
        """Puts the row into the shard."""
        self._waiting[shard].append(row)
        if len(self._waiting[shard]) >= ROWS_A_CHUNK:
            self._write(shard)

    def shard(self, index: int) -> list[Any]:
        """The shard's rows, in the order they came."""
        self._write(index)
        return [row for chunk in self._chunks.of(index) for row in json.loads(chunk, object_hook=_with_times)]

    def _write(self, shard: int) -> None:
        if self._waiting[shard]:
            self._chunks.add(shard, json.dumps(self._waiting[shard], default=_marked).encode())
            self._waiting[shard] = []


def _marked(value: object) -> dict[str, str]:
    if isinstance(value, datetime):
        return {TIME: value.isoformat()}
    raise TypeError(f"{type(value).__name__} is no plain value")


def _with_times(found: dict[str, Any]) -> Any:
    return datetime.fromisoformat(found[TIME]) if found.keys() == {TIME} else found
