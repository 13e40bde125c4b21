"""Parquet from memory, in processes that end right after."""

import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.parquet_bytes import table_of

NUM_PROCESSES = 8  # one that reads by pq.read_table aborts every other time
READS_AND_ENDS = """
import io
import pyarrow as pa, pyarrow.parquet as pq
from components.parquet_bytes import table_of
pq.write_table(pa.table({"number": range(2000)}), sink := io.BytesIO())
garbage = [[number] for number in range(400_000)]  # the interpreter takes its time to end
for _ in range(30):
    table_of(sink.getvalue())
"""


def test_it_gives_the_columns_that_are_there():
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    pq.write_table(table, sink := io.BytesIO())
    assert table_of(sink.getvalue()).equals(table)
    assert table_of(sink.getvalue(), ["b", "not there"]).equals(table.select(["b"]))
    with pytest.raises(pa.ArrowException):
        table_of(sink.getvalue()[:-3])


def test_a_process_that_ends_right_after_reading_ends_well():
    running = [subprocess.Popen([sys.executable, "-c", READS_AND_ENDS]) for _ in range(NUM_PROCESSES)]
    assert [process.wait(120) for process in running] == [0] * NUM_PROCESSES
