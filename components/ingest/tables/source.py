"""A shop's own tables as a source: listings with their photos and, where the shop has one, the log of what was shown and clicked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components import schema
from components.ingest.account import Account
from components.ingest.files import NoTableError, write_set_aside
from components.ingest.folder import Columns
from components.ingest.log import Log
from components.ingest.market import Truth
from components.ingest.quarantine import Rejected
from components.ingest.rows import RawListing, Rejection
from components.ingest.snapshot import FileDigest, TablesDigest
from components.ingest.tables.batches import opened
from components.ingest.tables.columns import Said, Wanted, columns_of, listing_columns
from components.ingest.tables.config import TablesConfig
from components.ingest.tables.depot import Depot
from components.ingest.tables.listed import Listed
from components.ingest.traffic import Traffic
from components.ingest.window import Window


@dataclass
class TablesSource:
    """What the snapshot pins of a shop's own tables, read a batch of rows at a time. `log` is None where the shop has none."""

    depot: Depot
    then: TablesDigest
    columns: Columns
    tables: TablesConfig
    window: Window
    scratch: Path
    num_shards: int
    numbered: bool = False
    set_aside: dict[str, Rejection] = field(default_factory=dict)
    _absent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.log = Log(Traffic(self.window, self.scratch, self.num_shards)) if "impressions" in self.then.tables else None
        self._listed = Listed(self.then.written, self.tables.listings.fixed, self.scratch, self.num_shards)

    def rows(self) -> Iterator[RawListing]:
        """Each item's newest row, and every row at fault; afterwards photos can be asked for."""
        self.depot.fetch(self._files | self.then.pictures)
        if self.log:
            self.log.traffic.take(self._logged("impressions"), self._logged("clicks"))
        for num_rows, said in self._batches("listings", listing_columns(self.columns, self.tables)):
            self._listed.take(num_rows, said)
        yield from self._listed.current(self.window, self.log)

    def _batches(self, table: str, wanted: Sequence[Wanted]) -> Iterator[tuple[int, Said]]:
        """The table's rows. A file that is no such table is set aside whole."""
        for key, digest in sorted(self.then.tables[table].files.items()) if table in self.then.tables else ():
            path = self.depot.path(key, digest)
            try:
                with opened(path, wanted) as file:
                    self._absent |= {name if table == "listings" else f"{table}.{name}" for name in file.plan.absent}
                    yield from file.batches()
            except NoTableError as fault:
                self.set_aside[key] = fault.rejection
            self.depot.still(key)

    def _logged(self, table: str) -> Iterator[tuple[date, pa.Table]]:
        """The table's rows as schema.EVENTS has its columns."""
        wanted = columns_of(table, self.tables)
        fixed = {one.name: one.fixed for one in wanted}
        for num_rows, said in self._batches(table, wanted):
            arrays = [_array(field, said, fixed[field.name], num_rows) for field in schema.EVENTS[table]]
            yield self.then.written, pa.table(arrays, schema=schema.EVENTS[table])

    def picture(self, name: str) -> bytes:
        """The photo by its key, or by the digest of the bytes that came in a row."""
        found = self._listed.photo(name)
        return self.depot.picture(name, self.then.pictures.get(name)) if found is None else found

    def verify(self, unread: Iterable[RawListing]) -> None:
        """Nothing is left to do: each object was held to its digest when it was read."""

    def truth(self, item_id: str) -> Truth | None:
        """None: a table does not say how good a photo is."""
        return None

    def columns_absent(self) -> tuple[str, ...]:
        """Mapped columns that a file lacks."""
        return tuple(sorted(self._absent))

    def wrong_pictures(self) -> Iterable[Rejected]:
        """None: a photo has no name of its own that it could be wrong under."""
        return ()

    def accounts(self, came: Account, num_pictures: int) -> dict[str, Account]:
        """Those of the tables that there are; those of the log are filled in when it is written."""
        account = self._listed.account
        account.rows_out, account.quarantined = came.rows_out, came.quarantined
        return {"listings": account, **(self.log.accounts if self.log else {})}

    @property
    def _files(self) -> dict[str, FileDigest]:
        return {key: digest for table in self.then.tables.values() for key, digest in table.files.items()}

    @property
    def num_files(self) -> int:
        """Files of tables that the snapshot pins."""
        return len(self._files)

    def write_set_aside(self, path: Path) -> None:
        """Writes the files that are no tables of their kind."""
        files = self._files
        write_set_aside(path, self.set_aside, files, lambda key: self.depot.path(key, files[key]).read_bytes())


def _array(field: pa.Field, said: Said, fixed: str | None, num_rows: int) -> pa.Array:
    if field.name in said:
        return said[field.name][0].cast(options=pc.CastOptions(target_type=field.type, allow_invalid_utf8=True))
    return pa.nulls(num_rows, field.type) if fixed is None else pa.repeat(pa.scalar(fixed, field.type), num_rows)
