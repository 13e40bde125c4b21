"""What a run is made from, pinned: data/snapshot.json names the source, the digests it had and the moment that counts as now."""

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from components.contract import Config
from components.errors import BadData

AGAIN = "run `vitrine source` with simulate, folder PATH, events PATH or parquet PATH, which takes it"


class PictureDigest(Config):
    """The pictures a CSV names, as one value: how many files, their bytes, and sha256 over sorted lines `name sha256`."""

    count: int
    bytes: int
    sha256: str


class FolderDigest(Config):
    """A folder source as it was: path as typed, CSV and its sha256, pictures, and vectors beside the CSV (file name to sha256)."""

    kind: Literal["folder"]
    path: str
    csv: str
    csv_sha256: str
    pictures: PictureDigest
    external_vectors: dict[str, str]


class FileDigest(Config):
    """One file: its sha256, and how many bytes it has."""

    sha256: str
    bytes: int


class EventsDigest(Config):
    """A source of events as it was: folder or s3://bucket/prefix as typed, and every file by its name in it.

    `since` is the first day whose files of impressions and clicks are pinned; None where all are.
    """

    kind: Literal["events"]
    path: str
    since: date | None
    files: dict[str, FileDigest]


class TableDigest(Config):
    """One of a shop's own tables: the folder or file below the source where it lies, and its files by their key."""

    at: str
    files: dict[str, FileDigest]


class TablesDigest(Config):
    """A shop's own tables as they were: folder or s3://bucket/prefix as typed, tables by name, and by their key the photos that listings
    name (sha256 "" for one that has too many bytes to be read).

    `written` is the day (UTC) of the newest row that is not after the clock: a row of a later day is from a wrong clock.
    """

    kind: Literal["parquet"]
    path: str
    written: date
    tables: dict[str, TableDigest]
    pictures: dict[str, FileDigest]


class SimulatedDigest(Config):
    """The simulated market: params and code make it, so there is nothing else to pin."""

    kind: Literal["simulate"]


class Snapshot(Config):
    """What ingest may read. as_of (UTC) is the newest row's time, or one that a person gave; stable_release is the digest of the bundle
    that a candidate is compared with."""

    source: Annotated[FolderDigest | EventsDigest | TablesDigest | SimulatedDigest, Field(discriminator="kind")]
    as_of: datetime
    stable_release: str | None


def read(path: Path) -> Snapshot:
    """The snapshot at `path`. Raises BadData where it cannot be read as one."""
    try:
        return Snapshot.model_validate_json(path.read_bytes())
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()[:3])
        raise BadData(f"{path} is not a snapshot ({found}): {AGAIN}") from None


def gone_since(name: str, url: str) -> BadData:
    """The error for a file of the snapshot that is not there."""
    return BadData(f"{name} is gone from {url}: bring it back, or run `vitrine snapshot`, which does without it")


def changed_since(name: str, url: str) -> BadData:
    """The error for a file that is not the one of the snapshot."""
    return BadData(
        f"{name} in {url} has other bytes than when the snapshot was taken: bring the old file back, or run "
        "`vitrine snapshot`, which takes the new one"
    )


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class PicturesSeen:
    """Pictures as they are read, counted once by name; a picture that changes between two readings changes the digest."""

    sizes: dict[tuple[str, str], int] = field(default_factory=dict)

    def note(self, name: str, sha256: str, num_bytes: int) -> None:
        """Takes note of one reading of the picture `name`."""
        self.sizes[name, sha256] = num_bytes

    def digest(self) -> PictureDigest:
        """Everything noted so far as one value."""
        lines = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(self.sizes))
        sha256 = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
        return PictureDigest(count=len(self.sizes), bytes=sum(self.sizes.values()), sha256=sha256)
