"""A source of events: listings as they were upserted, their pictures, and the log of what was shown and clicked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa

from components.ingest import upserts
from components.ingest.account import Account
from components.ingest.admit import Listing
from components.ingest.files import EventFiles
from components.ingest.intake import Intake
from components.ingest.market import Truth
from components.ingest.pages import Items
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
    _known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.traffic = Traffic(self.window, self.scratch, self.num_shards)
        self._sent = PhotosSent(self.images, Chunks(self.scratch, 1))

    def rows(self) -> Iterator[RawListing]:
        """Each item's newest row, and every row at fault; afterwards pictures can be asked for."""
        self.traffic.take(self.files.tables("impressions"), self.files.tables("clicks"))
        spill = upserts.spilled(self.files.tables("listings"), self.listings, self.scratch, self.num_shards)
        wanted = set()
        for index in range(self.num_shards):
            for raw in upserts.newest(self._distinct(spill.shard(index)), self.window, self.listings, self.traffic.shown.__contains__):
                wanted.add(raw.picture_name)
                yield raw
        self._sent.take(self.files.tables("images"), wanted)

    def _distinct(self, table: pa.Table) -> list[upserts.Upsert]:
        found = upserts.distinct(table, self.listings)
        self._known.update(upsert.item_id for upsert in found if upsert.item_id)
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

    def accounts(self, intake: Intake) -> dict[str, Account]:
        """Every table's account; that of the log is filled in by write_log."""
        self.listings.rows_out, self.listings.quarantined = intake.rows_out, len(intake.rejected)
        self._sent.settle(len(intake.image_ids))
        return {"listings": self.listings, "images": self.images, "impressions": self.traffic.impressions, "clicks": self.traffic.clicks}

    def write_log(self, catalogue: Sequence[Listing], max_price: float, impressions: Path, quarantine: Path) -> None:
        """Writes the impressions of the catalogue's items, and the quarantine of impressions and clicks."""
        listed = pl.Series([str(listing["item_id"]) for listing in catalogue], dtype=pl.String)
        items = Items(listed, pl.Series(sorted(self._known), dtype=pl.String))
        self.traffic.write(items, max_price, impressions, quarantine)
