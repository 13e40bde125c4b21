"""A source of events: listings as they were upserted, their pictures, and the log of what was shown and clicked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from components.ingest import upserts
from components.ingest.account import Account
from components.ingest.files import EventFiles
from components.ingest.log import Log
from components.ingest.market import Truth
from components.ingest.quarantine import Rejected
from components.ingest.rows import RawListing
from components.ingest.sent import PhotosSent
from components.ingest.spill import Chunks
from components.ingest.traffic import Traffic
from components.ingest.window import Window


@dataclass
class EventsSource:
    """What the snapshot pins of a source of events, read one file at a time."""

    files: EventFiles
    window: Window
    scratch: Path
    num_shards: int
    numbered: bool = False
    listings: Account = field(default_factory=Account)
    images: Account = field(default_factory=Account)

    def __post_init__(self) -> None:
        self.log = Log(Traffic(self.window, self.scratch, self.num_shards))
        self._sent = PhotosSent(self.images, Chunks(self.scratch, 1))

    def rows(self) -> Iterator[RawListing]:
        """Each item's newest row, and every row at fault; afterwards pictures can be asked for."""
        self.log.traffic.take(self.files.tables("impressions"), self.files.tables("clicks"))
        spill = upserts.spilled(self.files.tables("listings"), self.listings, self.scratch, self.num_shards)
        wanted = set()
        for index in range(self.num_shards):
            for raw in upserts.newest(self._distinct(spill.shard(index)), self.window, self.listings, self.log.traffic.shown.__contains__):
                wanted.add(raw.picture_name)
                yield raw
        self._sent.take(self.files.tables("images"), wanted)

    def _distinct(self, table: pa.Table) -> list[upserts.Upsert]:
        found = upserts.distinct(upserts.rows_of(table), self.listings)
        self.log.known.update(upsert.item_id for upsert in found if upsert.item_id)
        return found

    def picture(self, name: str) -> bytes:
        """The picture by its image_id."""
        return self._sent.picture(name)

    def verify(self, unread: Iterable[RawListing]) -> None:
        """Nothing is left to do: each file was held to its digest when it was read."""

    def truth(self, item_id: str) -> Truth | None:
        """None: a log does not say how good a photo is."""
        return None

    def columns_absent(self) -> tuple[str, ...]:
        """None: what a file may leave out is null in its rows."""
        return ()

    def wrong_pictures(self) -> Iterator[Rejected]:
        """Pictures whose bytes are not what they are named."""
        return self._sent.wrong()

    def accounts(self, came: Account, num_pictures: int) -> dict[str, Account]:
        """Every table's account; that of the log is filled in when it is written."""
        self.listings.rows_out, self.listings.quarantined = came.rows_out, came.quarantined
        self._sent.settle(num_pictures)
        return {"listings": self.listings, "images": self.images, **self.log.accounts}

    @property
    def num_files(self) -> int:
        """Files that the snapshot pins."""
        return len(self.files.files)

    def write_set_aside(self, path: Path) -> None:
        """Writes the files that are no tables of their kind."""
        self.files.write_set_aside(path)
