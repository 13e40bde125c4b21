"""Rows through the door, then listings with their pictures into shards, one shard in memory at a time."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from components import schema
from components.errors import BadPicture
from components.ingest.account import Account
from components.ingest.admit import Door, Listing, Rules
from components.ingest.catalogue import names_of
from components.ingest.decode import measured
from components.ingest.quarantine import Rejected
from components.ingest.rows import RawListing, Rejection
from components.ingest.source import Source
from components.ingest.spill import RowSpill
from components.progress import track
from components.shards import shard_name, shard_of, write_table
from components.work_cache import Pack, WorkCache

Sound = tuple[int, RawListing, Listing]
"""A row by number whose fields were admitted and whose picture has not been looked at."""


@dataclass
class Intake:
    """What came of the rows: how many were admitted, and what was turned away. Together they are every row, once.

    picture_names leads from a listing's item_id to its picture in the source. image_ids are those of the listings; `converted` counts
    these pictures by what decoding changes or leaves out.
    """

    rejected: list[Rejected] = field(default_factory=list)
    picture_names: dict[str, str] = field(default_factory=dict)
    image_ids: set[str] = field(default_factory=set)
    converted: Counter[str] = field(default_factory=Counter)

    @property
    def rows_out(self) -> int:
        """Rows that became listings."""
        return len(self.picture_names)

    @property
    def account(self) -> Account:
        """The rows that the source gave, counted."""
        return Account(rows_in=self.rows_out + len(self.rejected), rows_out=self.rows_out, quarantined=len(self.rejected))


@dataclass(frozen=True)
class Shelves:
    """Where admitted rows go: folders of listings and images, and what completes a listing first."""

    listings: Path
    images: Path
    num_shards: int
    completed: Callable[[Listing], Listing]


def take_in(source: Source, rules: Rules, shelves: Shelves, cache: WorkCache) -> Intake:
    """Every row of the source as a listing or a rejection. Listings lie in shards by item_id, each with its picture in the same shard.

    Raises BadData where the source is not what its snapshot says.
    """
    intake = Intake()
    spill = _admitted(source, rules, intake, RowSpill(shelves.listings.parent, shelves.num_shards), shelves.num_shards)
    unread = [one.raw for one in intake.rejected]
    for index in range(shelves.num_shards):
        rows = sorted(map(_sound, spill.shard(index)), key=lambda sound: _id(sound[2]))
        with cache.pack(Path(shard_name(index)).stem) as pack:
            listed, pictures = _with_pictures(rows, source, pack, intake)
        write_table(shelves.images / shard_name(index), pa.Table.from_pylist(pictures, schema.IMAGES), schema.IMAGES)
        listed = [shelves.completed(listing) for listing in listed]
        write_table(shelves.listings / shard_name(index), pa.Table.from_pylist(listed, schema.LISTINGS), schema.LISTINGS)
    cache.close()
    source.verify(unread)
    return intake


def _id(listing: Listing) -> str:
    return str(listing["item_id"])


def _admitted(source: Source, rules: Rules, intake: Intake, spill: RowSpill, num_shards: int) -> RowSpill:
    door = Door(rules)
    for number, raw in enumerate(source.rows(), 1):
        outcome = door.admit(raw)
        if isinstance(outcome, Rejection):
            intake.rejected.append(Rejected(number, raw, outcome, source.numbered))
        else:
            spill.add(shard_of(_id(outcome), num_shards), (number, raw.fields, raw.picture_name, outcome))
    return spill


def _sound(row: tuple[int, Mapping[str, object], str, Listing]) -> Sound:
    number, fields, picture_name, listing = row
    return number, RawListing(fields, None, picture_name), listing


def _with_pictures(rows: list[Sound], source: Source, pack: Pack, intake: Intake) -> tuple[list[Listing], list[dict[str, object]]]:
    """One shard's listings, and their pictures as rows of schema.IMAGES, each once, by image_id. What is turned away goes to the intake."""
    listed: list[Listing] = []
    pictures: dict[str, dict[str, object]] = {}
    for number, raw, listing in _tracked(rows, pack):
        picture = _picture(raw.picture_name, source, pack)
        if isinstance(picture, Rejection):
            intake.rejected.append(Rejected(number, raw, picture, source.numbered))
        else:
            image_id = str(picture["image_id"])
            pictures.setdefault(image_id, picture)
            listed.append({**listing, "image_id": image_id})
            if image_id not in intake.image_ids:
                intake.image_ids.add(image_id)
                intake.converted.update(names_of(picture["converted"]))
            intake.picture_names[_id(listing)] = raw.picture_name
    return listed, [pictures[image_id] for image_id in sorted(pictures)]


def _tracked(rows: list[Sound], pack: Pack) -> Iterable[Sound]:
    return track(rows, len(rows), f"{Path(pack.prefix).name}: pictures")


def _picture(name: str, source: Source, pack: Pack) -> dict[str, object] | Rejection:
    try:
        data = source.picture(name)
    except BadPicture as fault:
        return Rejection(fault.reason, fault.detail)
    image_id = hashlib.sha256(data).hexdigest()
    outcome = measured(image_id, data, pack)
    return outcome if isinstance(outcome, Rejection) else {"image_id": image_id, "data": data, **asdict(outcome)}
