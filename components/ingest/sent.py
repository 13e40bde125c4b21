"""Pictures as they were sent: each held to the digest it is named by, and kept on disk until a listing asks for it."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from components.errors import BadPicture
from components.ingest.account import Account
from components.ingest.quarantine import Rejected
from components.ingest.rows import RawListing, Rejection
from components.ingest.spill import Chunks

Place = tuple[int, int]
WRONG_DIGEST = "picture_digest_wrong"
WRONG = "\0"  # begins the name of a picture under which no listing can ask for it


@dataclass
class PhotosSent:
    """Where each picture lies, by image_id. `wrong` are those whose bytes are not what their image_id says, each once."""

    account: Account
    chunks: Chunks
    _places: dict[bytes, Place] = field(default_factory=dict)
    _wrong: dict[str, Place] = field(default_factory=dict)
    _seen: set[bytes] = field(default_factory=set)

    def take(self, files: Iterable[tuple[dt.date, pa.Table]], wanted: set[str]) -> None:
        """Reads the files once and keeps the pictures that are wanted."""
        for _, table in files:
            self.account.rows_in += table.num_rows
            for image_id, data in _rows(table):
                self._sort(image_id, data, image_id in wanted)

    def _sort(self, image_id: str, data: bytes, wanted: bool) -> None:
        digest = hashlib.sha256(data).digest()
        if digest.hex() != image_id:
            self._keep_wrong(f"{WRONG}{image_id} {digest.hex()}", data)
        elif digest in self._seen:
            self.account.repeated += 1
        else:
            self._seen.add(digest)
            if wanted:
                self._places[digest] = self.chunks.add(0, data)

    def _keep_wrong(self, name: str, data: bytes) -> None:
        if name in self._wrong:
            self.account.repeated += 1
        else:
            self.account.quarantined += 1
            self._wrong[name] = self.chunks.add(0, data)

    def picture(self, name: str) -> bytes:
        """The bytes of the picture, or of one of `wrong`. Raises BadPicture where it was never sent."""
        place = self._wrong.get(name) or (self._places.get(bytes.fromhex(name)) if _is_digest(name) else None)
        if place is None:
            raise BadPicture("picture_missing", f"no picture {name[:80]!r} was sent" if name else "the row names no picture")
        return self.chunks.at(place)

    def wrong(self) -> Iterator[Rejected]:
        """For quarantine: the pictures whose bytes are not what they are named."""
        for name in sorted(self._wrong):
            claimed, _, found = name.removeprefix(WRONG).rpartition(" ")
            why = Rejection(WRONG_DIGEST, f"image_id is {claimed[:80]!r}, the bytes have sha256 {found}")
            yield Rejected(0, RawListing({"item_id": claimed, "image_id": claimed}, None, name), why, numbered=False)

    def settle(self, num_out: int) -> None:
        """Counts the pictures that became rows of images; sound ones that did not are left out."""
        self.account.rows_out = num_out
        self.account.left_out = len(self._seen) - num_out


def _is_digest(name: str) -> bool:
    return len(name) == 64 and all(c in "0123456789abcdef" for c in name)


def _rows(table: pa.Table) -> Iterator[tuple[str, bytes]]:
    names = table["image_id"].cast(pa.binary())
    for name, data in zip(names, table["data"], strict=True):
        yield (name.as_py() or b"").decode("utf-8", "backslashreplace"), data.as_py() or b""
