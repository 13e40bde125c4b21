"""Parquet from memory.

`pq.read_table` leaves the end of its scan, and with it the Python object that it reads from, to a thread of Arrow's pool. Where the
interpreter ends meanwhile, that thread can no longer take the GIL, and a process whose work was done aborts (pyarrow 26: every other
one of some that read and end). `ParquetFile.read` leaves nothing behind.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def table_of(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The file's rows, of those of `columns` that it has. Raises pa.ArrowException or OSError where it is no parquet file."""
    return pq.ParquetFile(pa.BufferReader(data)).read(columns=None if columns is None else list(columns))
