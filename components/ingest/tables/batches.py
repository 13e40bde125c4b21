"""A parquet file a batch of rows at a time: memory holds a batch and a page, whatever the size of table, file or row group."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.files import NoTableError
from components.ingest.tables.columns import Plan, Said, Wanted, plan_of

BATCH_BYTES = 64 * 1024 * 1024
MAX_ROWS, MAX_PHOTOS = 8192, 16
BUFFER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class TableFile:
    """A file that was opened as a table, and how its columns become ours."""

    reader: pq.ParquetFile
    plan: Plan

    @property
    def num_rows(self) -> int:
        """As the file says."""
        return int(self.reader.metadata.num_rows)

    def only(self, ours: Collection[str]) -> "TableFile":
        """The file with these columns of ours alone."""
        return replace(self, plan=replace(self.plan, found=[(one, theirs) for one, theirs in self.plan.found if one.name in ours]))

    def batches(self) -> Iterator[tuple[int, Said]]:
        """The rows in order: how many, and what they say. Raises NoTableError."""
        with _told():
            for group in range(self.reader.metadata.num_row_groups):
                for batch in self.reader.iter_batches(self._rows_at_once(group), [group], self.plan.names, use_threads=False):
                    yield batch.num_rows, self.plan.said(batch)

    def _rows_at_once(self, group: int) -> int:
        """By the size of the whole row, as the row group says: that of a column cannot be asked for where columns are encrypted."""
        about = self.reader.metadata.row_group(group)
        each = max(1, about.total_byte_size // max(1, about.num_rows))
        most = MAX_PHOTOS if "picture" in self.plan.ours else MAX_ROWS
        return max(1, min(BATCH_BYTES // int(each), most))


@contextmanager
def opened(path: Path, wanted: Sequence[Wanted], *, sound: bool = False) -> Iterator[TableFile]:
    """The file; unless it is known to be `sound`, all that is wanted of it is read once first, so that it is taken whole or not at all.

    Raises NoTableError: file_unreadable, column_missing or column_type.
    """
    with _told():
        reader = pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
    with reader:
        with _told():
            found = reader.schema_arrow
        file = TableFile(reader, plan_of(found, wanted))
        for _ in () if sound else file.batches():
            continue
        yield file


@contextmanager
def _told() -> Iterator[None]:
    """NoTableError for what pyarrow finds wrong with the file."""
    try:
        yield
    except (MemoryError, NoTableError):
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        if "crypt" in said.lower():
            said = f"it is encrypted, and no key is taken: {said}"
        raise NoTableError("file_unreadable", f"no parquet file, or half of one: {said}") from None
