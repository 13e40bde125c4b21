"""Where listings come from. A source gives rows first and each picture when asked, so that only one shard's are in memory."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from components.errors import BadData, BadPicture
from components.ingest.account import Account
from components.ingest.folder import Folder
from components.ingest.log import Log
from components.ingest.market import MarketConfig, Truth, simulate
from components.ingest.quarantine import Rejected
from components.ingest.rows import RawListing
from components.ingest.snapshot import FolderDigest


class Source(Protocol):
    """What ingest reads from. Rows are `numbered` where a person could follow their order."""

    numbered: bool

    def rows(self) -> Iterator[RawListing]:
        """Every row in order, without its picture. Raises BadData where the source is not what the snapshot says."""

    def picture(self, name: str) -> bytes:
        """The picture that a row names. Raises BadPicture where there is none to be had."""

    def verify(self, unread: Iterable[RawListing]) -> None:
        """Raises BadData where the pictures are not what the snapshot says; `unread` are the rows whose pictures nobody asked for."""

    def truth(self, item_id: str) -> Truth | None:
        """What is known for certain about the item; nothing about a real photo."""

    def columns_absent(self) -> tuple[str, ...]:
        """Mapped columns that the source does not have."""

    @property
    def log(self) -> Log | None:
        """What was shown and clicked. None where nobody logged it: then shoppers are simulated, and what a row leaves open is made up."""

    def accounts(self, came: Account, num_pictures: int) -> Mapping[str, Account]:
        """Every row that came in, by table, where `came` are the rows that rows() gave, with so many different pictures."""

    def wrong_pictures(self) -> Iterable[Rejected]:
        """For quarantine: pictures that are not what they are named, by which no row can ask for them."""

    @property
    def num_files(self) -> int:
        """Files of tables that the snapshot pins."""

    def write_set_aside(self, path: Path) -> None:
        """Writes the files that are no tables of their kind, as schema.QUARANTINE, where there are such files."""


class _ListingsAlone:
    """A source of listings without a log, in no file that could be set aside."""

    log: Log | None = None
    num_files = 0

    def accounts(self, came: Account, num_pictures: int) -> Mapping[str, Account]:
        """The rows of listings."""
        return {"listings": came}

    def wrong_pictures(self) -> Iterable[Rejected]:
        """None: pictures go by the names of their files."""
        return ()

    def write_set_aside(self, path: Path) -> None:
        """Nothing to write."""


@dataclass
class FolderSource(_ListingsAlone):
    """A CSV beside photos, held to its snapshot."""

    folder: Folder
    then: FolderDigest
    numbered: bool = True

    def rows(self) -> Iterator[RawListing]:
        """Every row of the CSV, which must be the snapshot's."""
        self.folder.verify_csv(self.then)
        return self.folder.rows()

    def picture(self, name: str) -> bytes:
        """The photo's bytes as they lie in the folder."""
        return self.folder.picture(name)

    def verify(self, unread: Iterable[RawListing]) -> None:
        """Holds the digest of all photos that the CSV names to the snapshot's."""
        for raw in unread:
            self.folder.note(raw.picture_name)
        self.folder.verify_pictures(self.then)

    def truth(self, item_id: str) -> Truth | None:
        """None: nobody knows how good a real photo is."""
        return None

    def columns_absent(self) -> tuple[str, ...]:
        """Columns of `ingest.columns` that the CSV lacks."""
        return self.folder.header().absent


@dataclass
class SimulatedSource(_ListingsAlone):
    """The market in a box. Drawn photos wait in an unnamed file in `scratch`; their bytes are read again when asked for."""

    market: MarketConfig
    scratch: Path
    numbered: bool = True
    _truths: dict[str, Truth] = field(default_factory=dict)
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    _spill: IO[bytes] | None = None

    def rows(self) -> Iterator[RawListing]:
        """Draws every listing, in the market's order."""
        if not self.market.num_listings:
            raise BadData("the simulated market is empty: set market.num_listings above 0")
        self._spill = tempfile.TemporaryFile(dir=self.scratch)  # noqa: SIM115 (it lives as long as the source)
        for raw, truth in simulate(self.market):
            self._truths.setdefault(truth.item_id, truth)
            if raw.picture is not None:
                self._places[raw.picture_name] = (self._spill.tell(), len(raw.picture))
                self._spill.write(raw.picture)
            yield dataclasses.replace(raw, picture=None)

    def picture(self, name: str) -> bytes:
        """The photo as it was drawn."""
        if self._spill is None or name not in self._places:
            raise BadPicture("picture_missing", f"no picture {name!r}")
        start, size = self._places[name]
        self._spill.seek(start)
        return self._spill.read(size)

    def verify(self, unread: Iterable[RawListing]) -> None:
        """Nothing to hold it to: params and code make this market, and DVC watches both."""

    def truth(self, item_id: str) -> Truth | None:
        """What the photo was drawn from."""
        return self._truths.get(item_id)

    def columns_absent(self) -> tuple[str, ...]:
        """None: the market fills every column."""
        return ()
