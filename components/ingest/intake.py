"""Rows through the door, then pictures into shards, one shard in memory at a time."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from components import schema
from components.errors import BadPicture
from components.ingest.admit import Door, Listing, Rejection, Rules
from components.ingest.decode import measured
from components.ingest.quarantine import Rejected
from components.ingest.rows import RawListing
from components.ingest.source import Source
from components.progress import track
from components.shards import Pack, WorkCache, shard_name, shard_of, write_table

Sound = tuple[int, RawListing, Listing]
"""A row by number whose fields were admitted and whose picture has not been looked at."""


@dataclass
class Intake:
    """What came of the rows: listings with an image_id, and what was turned away. Together they are every row, once.

    picture_names leads from a listing's item_id to its picture in the source.
    """

    listings: list[Listing] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    picture_names: dict[str, str] = field(default_factory=dict)

    @property
    def rows_in(self) -> int:
        """Rows the source gave."""
        return len(self.listings) + len(self.rejected)


def take_in(source: Source, rules: Rules, images: Path, num_shards: int, cache: WorkCache) -> Intake:
    """Every row of the source as a listing (by item_id) or a rejection; the pictures of listings lie in shards in `images`.

    Raises BadData where the source is not what its snapshot says.
    """
    intake = Intake()
    shelves: list[list[Sound]] = [[] for _ in range(num_shards)]
    for sound in sorted(_admitted(source, rules, intake), key=lambda sound: _id(sound[2])):
        shelves[shard_of(_id(sound[2]), num_shards)].append(sound)
    unread = [one.raw for one in intake.rejected]
    for index, shelf in enumerate(shelves):
        name = shard_name(index)
        write_table(images / name, _shelved(shelf, source, cache.pack(Path(name).stem), intake), schema.IMAGES)
    cache.log_use()
    source.verify(unread)
    intake.listings.sort(key=_id)
    return intake


def _id(listing: Listing) -> str:
    return str(listing["item_id"])


def _admitted(source: Source, rules: Rules, intake: Intake) -> Iterator[Sound]:
    door = Door(rules)
    for number, raw in enumerate(source.rows(), 1):
        outcome = door.admit(raw)
        if isinstance(outcome, Rejection):
            intake.rejected.append(Rejected(number, raw, outcome))
        else:
            yield number, raw, outcome


def _shelved(shelf: list[Sound], source: Source, pack: Pack, intake: Intake) -> pa.Table:
    """The pictures of one shard, each once, by image_id. Its rows are added to the intake."""
    pictures: dict[str, dict[str, object]] = {}
    for number, raw, listing in track(shelf, len(shelf), f"{Path(pack.prefix).name}: pictures"):
        picture = _picture(raw.picture_name, source, pack)
        if isinstance(picture, Rejection):
            intake.rejected.append(Rejected(number, raw, picture))
        else:
            image_id = str(picture["image_id"])
            pictures.setdefault(image_id, picture)
            intake.listings.append({**listing, "image_id": image_id})
            intake.picture_names[_id(listing)] = raw.picture_name
    pack.flush()
    return pa.Table.from_pylist([pictures[image_id] for image_id in sorted(pictures)], schema.IMAGES)


def _picture(name: str, source: Source, pack: Pack) -> dict[str, object] | Rejection:
    try:
        data = source.picture(name)
    except BadPicture as fault:
        return Rejection(fault.reason, fault.detail)
    image_id = hashlib.sha256(data).hexdigest()
    outcome = measured(image_id, data, pack)
    return outcome if isinstance(outcome, Rejection) else {"image_id": image_id, "data": data, **asdict(outcome)}
