"""The folder source: a CSV of listings beside photos. Reads inside the folder only, and notes the digest of every picture it reads."""

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from components.contract import Config
from components.errors import BadData, BadPicture
from components.images import MAX_PICTURE_BYTES
from components.ingest.records import Record, records
from components.ingest.rows import RawListing, Rejection
from components.ingest.snapshot import FolderDigest, PicturesSeen, file_sha256

UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Columns(Config):
    """Which column of a CSV, or of a shop's own table of listings, holds which of ours; null where there is none."""

    item_id: str
    image: str | None
    title: str
    category: list[str] = Field(min_length=1)
    description: str | None
    seller_id: str | None
    product_id: str | None
    source: str | None
    price: str | None
    currency: str | None
    created_at: str | None
    status: str | None
    app_version: str | None


REQUIRED = ("item_id", "image", "title", "category")


@dataclass(frozen=True)
class Header:
    """Where this CSV keeps each of our columns (category: each level), and which mapped columns it lacks."""

    places: Mapping[str, tuple[int, ...]]
    absent: tuple[str, ...]

    def raw(self, record: Record) -> RawListing:
        """The record as a raw listing, blank cells as None; its picture is not read."""
        if record.fault:
            fault = Rejection("row_malformed", f"line {record.line}: {record.fault}")
            return RawListing({"text": record.text}, None, "", fault)
        cells = {name: [record.cells[i].strip() or None for i in at] for name, at in self.places.items()}
        fields: dict[str, object] = {name: cell if name == "category" else cell[0] for name, cell in cells.items()}
        return RawListing(fields, None, str(fields.pop("image", None) or ""))


def header_of(names: tuple[str, ...], columns: Columns, csv: str) -> Header:
    """The header row read by the mapping of `ingest.columns`. Raises BadData where a column that must be there is not, or stands twice."""
    names = tuple(name.strip() for name in names)
    places, absent = {}, []
    for ours in Columns.model_fields:
        mapped = getattr(columns, ours)
        wanted = mapped if isinstance(mapped, list) else [mapped] if mapped else []
        found = [name for name in wanted if name in names]
        if ours in REQUIRED and wanted[:1] != found[:1]:
            raise BadData(_no_column(csv, ours, wanted[0], names))
        if double := [name for name in found if names.count(name) > 1]:
            raise BadData(f"{csv} has more than one column {double[0]!r}, which ingest.columns.{ours} names: rename all but one")
        absent += [ours if len(wanted) == 1 else f"{ours}.{name}" for name in wanted if name not in names]
        if found:
            places[ours] = tuple(names.index(name) for name in found)
    return Header(places, tuple(sorted(absent)))


def _no_column(csv: str, ours: str, wanted: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5) or difflib.get_close_matches(ours, names, n=1, cutoff=0.5)
    hint = f" (nearest: {near[0]!r})" if near else ""
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        hint = " (its columns must be separated by commas)"
    shown = ", ".join(repr(name[:40]) for name in names[:40])
    return f"{csv} has no column {wanted!r}{hint}. Found: {shown}. Set ingest.columns.{ours} in params.yaml to the column that holds it."


@dataclass
class Folder:
    """A folder of photos with the CSV that lists them. `seen` holds the digests of the pictures read so far."""

    path: Path
    csv: str
    columns: Columns
    seen: PicturesSeen = field(default_factory=PicturesSeen)

    def header(self) -> Header:
        """The CSV's header. Raises BadData where folder, CSV or a column is missing, or the CSV is no UTF-8 text with rows."""
        first = next(self._records(), None)
        if first is None or first.fault:
            raise BadData(f"{self.csv} in {self.path} has no header row: its first line names the columns")
        return header_of(first.cells, self.columns, self.csv)

    def rows(self) -> Iterator[RawListing]:
        """Every row in the CSV's order, pictures not read."""
        header, rest = self.header(), self._records()
        next(rest)
        return map(header.raw, rest)

    def _records(self) -> Iterator[Record]:
        _check(self.path, self.csv)
        with open(self.path / self.csv, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from records(file)

    def picture(self, name: str) -> bytes:
        """The picture's bytes, noted.

        Raises BadPicture: picture_missing, picture_outside_folder, picture_too_many_bytes or picture_unreadable.
        """
        file = self._file(name)
        try:
            if (size := file.stat().st_size) > MAX_PICTURE_BYTES:
                self.seen.note(name, file_sha256(file), size)
                raise BadPicture("picture_too_many_bytes", f"{size} bytes, limit {MAX_PICTURE_BYTES}")
            data = file.read_bytes()
        except OSError as error:
            raise BadPicture("picture_unreadable", error.strerror or type(error).__name__) from None
        self.seen.note(name, hashlib.sha256(data).hexdigest(), len(data))
        return data

    def note(self, name: str) -> None:
        """Notes the picture's digest without keeping its bytes; a name that leads to no file in the folder has none."""
        try:
            file = self._file(name)
            self.seen.note(name, file_sha256(file), file.stat().st_size)
        except (BadPicture, OSError):
            return

    def _file(self, name: str) -> Path:
        if not name:
            raise BadPicture("picture_missing", "the row names no picture")
        try:
            root = self.path.resolve()
            file = (root / name).resolve()
            if not file.is_relative_to(root):
                raise BadPicture("picture_outside_folder", f"{name[:200]!r} leads out of the folder")
            if not file.is_file():
                raise BadPicture("picture_missing", f"no file {name[:200]!r} in the folder")
        except (OSError, RuntimeError, ValueError):  # too long a name, a loop of links, a NUL
            raise BadPicture("picture_missing", f"no file {name[:200]!r} in the folder") from None
        return file

    def verify_csv(self, then: FolderDigest) -> None:
        """Raises BadData where the CSV is not the one of the snapshot."""
        _check(self.path, self.csv)
        if file_sha256(self.path / self.csv) != then.csv_sha256:
            raise BadData(self._changed(f"{self.csv} has other bytes"))

    def verify_pictures(self, then: FolderDigest) -> None:
        """Raises BadData where the pictures read so far are not all those of the snapshot."""
        now, was = self.seen.digest(), then.pictures
        if now != was:
            counted = f"{was.count} pictures of {was.bytes} bytes then, {now.count} of {now.bytes} now"
            raise BadData(self._changed(counted if (now.count, now.bytes) != (was.count, was.bytes) else "a picture has other bytes"))

    def _changed(self, what: str) -> str:
        return f"the folder changed since the snapshot ({what}): run `vitrine source folder {self.path} --csv {self.csv}`"


def _check(folder: Path, csv: str) -> None:
    if not folder.is_dir():
        what = "is a file; name its folder, and the CSV with --csv" if folder.is_file() else "does not exist"
        raise BadData(f"the source folder {folder} {what}")
    if not (folder / csv).is_file():
        others = ", ".join(sorted(path.name for path in folder.glob("*.csv"))[:10]) or "none"
        raise BadData(f"{folder} holds no {csv}. CSV files there: {others}. Name one: `vitrine source folder {folder} --csv NAME`")
    try:
        with open(folder / csv, "rb") as file:
            start = file.read(2)
    except OSError as error:
        raise BadData(f"{csv} in {folder} cannot be read: {error.strerror}") from None
    if start in UTF16:
        raise BadData(f"{csv} in {folder} is UTF-16: save it as UTF-8")
