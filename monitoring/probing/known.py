"""What a bundle says that a gateway must answer, and about which of its items the gateway is asked day after day."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.bundle import GOLDEN, INDEX_FOLDER
from components.calibrator import ANCHORS
from components.errors import BadBundle
from components.fingerprint import file_digest
from components.manifest import MANIFEST, verified_manifest
from components.neighbours import ITEMS
from monitoring.probing.sample import lowest

ALWAYS = "every day"


@dataclass(frozen=True)
class GoldenPhoto:
    """A picture and the vector that it must get, (D,) of unit length."""

    image_id: str
    data: bytes
    vector_D: np.ndarray


@dataclass(frozen=True)
class Anchor:
    """A picture and the Image Score that it is to keep, 0 to 1."""

    image_id: str
    data: bytes
    target: float


@dataclass(frozen=True)
class Known:
    """A release by its bundle. `items` has item_id and image_id of what the release was made with."""

    release_id: str
    fingerprint: str
    golden: tuple[GoldenPhoto, ...]
    anchors: tuple[Anchor, ...]
    items: pa.Table

    def item_ids(self) -> Iterator[str]:
        """Of every item, each once."""
        for chunk in self.items["item_id"].chunks:
            yield from chunk.to_pylist()

    def image_of(self, item_ids: Collection[str]) -> dict[str, str]:
        """The photo that each of the items had when the release was made."""
        rows = self.items.filter(pc.is_in(self.items["item_id"], value_set=pa.array(item_ids, pa.string())))
        return dict(zip(rows["item_id"].to_pylist(), rows["image_id"].to_pylist(), strict=True))


def read_known(folder: Path, num_anchors: int) -> Known:
    """The release of a bundle, with so many of its anchors. Raises BadBundle where a file is missing, altered or older than this."""
    manifest = verified_manifest(folder)
    items = pq.read_table(folder / INDEX_FOLDER / ITEMS)
    if "image_id" not in items.column_names:
        raise BadBundle(f"{folder}/{INDEX_FOLDER}/{ITEMS} does not say whose photos were indexed: make the bundle again with `dvc repro`")
    golden = pq.read_table(folder / GOLDEN).to_pylist()
    return Known(
        release_id=file_digest(folder / MANIFEST),
        fingerprint=str(manifest["fingerprint"]),
        golden=tuple(GoldenPhoto(row["image_id"], row["data"], np.array(row["vector"], np.float32)) for row in golden),
        anchors=_anchors(folder, num_anchors),
        items=items.select(["item_id", "image_id"]),
    )


def _anchors(folder: Path, num: int) -> tuple[Anchor, ...]:
    rows = {row["image_id"]: row for row in pq.read_table(folder / ANCHORS).to_pylist()}
    return tuple(Anchor(image_id, rows[image_id]["data"], float(rows[image_id]["target"])) for image_id in lowest(rows, num, ALWAYS))


def probe_items(known: Known, num: int) -> list[str]:
    """The items whose neighbours are watched: the same ones for as long as the release is."""
    return lowest(known.item_ids(), num, ALWAYS)
