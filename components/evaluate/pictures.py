"""What evaluate needs of the photos: a colour histogram and pixel statistics for each, and small copies of a few for the page."""

import base64
import hashlib
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

import components.evaluate.baselines
from components.evaluate.baselines import color_histogram
from components.images import decode
from components.images import digest as images_digest
from components.objects import ObjectStore
from components.photos import read_photos
from components.progress import track
from components.shards import shard_paths
from components.work_cache import WorkCache

STATS = ("brightness", "sharpness", "contrast")
THUMBNAIL_PX = 92
JPEG_QUALITY = 78


def read_histograms(images: Path, wanted: Collection[str], store: ObjectStore) -> dict[str, np.ndarray]:
    """Colour histograms by image_id. Each is kept in the work cache under its picture's digest and made once."""
    code = hashlib.sha256(Path(components.evaluate.baselines.__file__).read_bytes()).hexdigest()
    cache = WorkCache(store, "evaluate", {"code": code, "images": images_digest()})
    found: dict[str, np.ndarray] = {}
    paths = shard_paths(images)
    for path in track(paths, len(paths), "colour histograms, shards"):
        with cache.pack(path.stem) as pack:
            for image_id, data in _data_of(path, set(wanted) - set(found)).items():
                kept = pack.get(image_id)
                if kept is None:
                    kept = color_histogram(data).tobytes()
                    pack.put(image_id, kept)
                found[image_id] = np.frombuffer(kept, np.float32)
    cache.close()
    return found


def read_stats(images: Path, wanted: Collection[str]) -> dict[str, dict[str, float]]:
    """Pixel statistics by image_id, then by name of STATS."""
    found: dict[str, dict[str, float]] = {}
    for path in shard_paths(images):
        table = pq.read_table(path, columns=["image_id", "stats"])
        table = table.filter(pc.is_in(table["image_id"], pa.array(sorted(wanted), pa.string())))
        found.update(zip(table["image_id"].to_pylist(), table["stats"].to_pylist(), strict=True))
    return found


def read_thumbnails(images: Path, wanted: Collection[str]) -> dict[str, str]:
    """Small JPEG copies as data: URIs, by image_id."""
    return {image_id: thumbnail(data) for image_id, data in read_photos(images, wanted).items()}


def thumbnail(data: bytes) -> str:
    """The picture's middle square, THUMBNAIL_PX wide, as a data: URI. Equal bytes give equal text."""
    picture = decode(data, THUMBNAIL_PX)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    small = picture.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()


def _data_of(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    table = pq.read_table(path, columns=["image_id", "data"], filters=pc.field("image_id").isin(pa.array(sorted(wanted), pa.string())))
    return dict(zip(table["image_id"].to_pylist(), table["data"].to_pylist(), strict=True))
