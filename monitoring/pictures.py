"""Photos by their id, from where the gateway keeps and logs them."""

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components import parquet_bytes
from components.errors import StoreFailed, TooLarge
from components.images import MAX_PICTURE_BYTES
from components.objects import ObjectStore
from components.photos import read_photos
from monitoring.report.config import PicturesConfig

MIB = 1 << 20
Photos = Callable[[Collection[str]], Mapping[str, bytes]]

log = logging.getLogger("vitrine")


def no_photos(image_ids: Collection[str]) -> dict[str, bytes]:
    """None, where there is no store to ask."""
    return {}


@dataclass(frozen=True)
class StoredPhotos:
    """Photos of a gateway's store: those of its catalogue, then those in the uploads of the days up to `until`, newest first, then those of
    a workspace's shards. What is not what it is named, too large or not to be read is left out: a page is written without it."""

    store: ObjectStore
    until: dt.date
    cfg: PicturesConfig
    shards: Path | None = None

    def __call__(self, image_ids: Collection[str]) -> dict[str, bytes]:
        """Encoded photos by image_id; those that are nowhere are left out."""
        wanted = set(image_ids)
        found = self._kept(wanted)
        found |= self._uploaded(wanted - found.keys())
        if self.shards is not None and self.shards.is_dir() and wanted - found.keys():
            found |= _sound(dict(read_photos(self.shards, wanted - found.keys())))
        return found

    def _kept(self, wanted: set[str]) -> dict[str, bytes]:
        """From the catalogue's pictures, each asked for by its name."""
        found = {}
        try:
            for image_id in sorted(wanted):
                if (there := self._read(f"pictures/{image_id[:2]}/{image_id}", MAX_PICTURE_BYTES)) is not None:
                    found[image_id] = there
        except StoreFailed as error:
            log.warning("drift: no photos from the catalogue: %s", error)
        return _sound(found)

    def _read(self, key: str, max_bytes: int) -> bytes | None:
        try:
            there = self.store.read(key, max_bytes)
        except TooLarge:
            return None
        return there.data if there else None

    def _uploaded(self, wanted: set[str]) -> dict[str, bytes]:
        """From the tables of uploads, within the budget of days and bytes."""
        found: dict[str, bytes] = {}
        room = int(self.cfg.max_mib * MIB)
        try:
            for back in range(self.cfg.days + 1):
                for one in self.store.stored(f"events/images/dt={self.until - dt.timedelta(days=back)}"):
                    if not wanted - found.keys():
                        return found
                    if one.num_bytes <= room:
                        room -= one.num_bytes
                        found |= _sound(_photos_in(one.key, self._read(one.key, one.num_bytes), wanted - found.keys()))
        except StoreFailed as error:
            log.warning("drift: no more photos from the uploads: %s", error)
        return found


def _photos_in(key: str, data: bytes | None, wanted: set[str]) -> dict[str, bytes]:
    """The wanted photos of a table of uploads; none where it cannot be read."""
    if data is None:
        return {}
    try:
        chosen = pc.field("image_id").isin(pa.array(sorted(wanted), pa.string()))
        table = parquet_bytes.table_of(data, ["image_id", "data"]).filter(chosen)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        log.warning("drift: %s is no table of photos and is left out: %s", key, " ".join(str(error).split())[:200])
        return {}
    return {name: photo for name, photo in zip(table["image_id"].to_pylist(), table["data"].to_pylist(), strict=True) if photo is not None}


def _sound(photos: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those whose bytes have the digest that they are named by."""
    return {name: data for name, data in photos.items() if hashlib.sha256(data).hexdigest() == name}
