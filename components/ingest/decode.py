"""What is measured on each picture when it comes in, once: size, perceptual hash, and statistics that drift is watched by."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import imagehash
import numpy as np
from PIL import Image

from components import images
from components.errors import BadPicture
from components.ingest.rows import Rejection
from components.picture_stats import SIDE_PX, stats_of
from components.work_cache import Pack

FLUSH_EVERY = 256


@dataclass(frozen=True)
class Measured:
    """Width and height upright in px, 64-bit DCT hash, `stats` as schema.STATS has them, and codes of what decoding converts."""

    width: int
    height: int
    phash: int
    stats: Mapping[str, float]
    converted: Sequence[str]


def measured(image_id: str, data: bytes, pack: Pack) -> Measured | Rejection:
    """What measure() says of these bytes, from the work cache where they were seen before; a rejection is remembered too."""
    known = pack.get(image_id)
    if known is None:
        known = json.dumps(_outcome(data)).encode()
        pack.put(image_id, known)
        if len(pack.fresh) >= FLUSH_EVERY:
            pack.flush()
    outcome = json.loads(known)
    return Rejection(**outcome) if "reason" in outcome else Measured(**outcome)


def _outcome(data: bytes) -> dict[str, object]:
    try:
        return asdict(measure(data))
    except BadPicture as fault:
        return {"reason": fault.reason, "detail": fault.detail}


def measure(data: bytes) -> Measured:
    """The picture decoded whole and measured at 224 x 224 px. Raises BadPicture as images.decode does."""
    about, picture = images.about(data), images.decode(data, SIDE_PX)
    return Measured(about.width, about.height, phash_of(picture), stats_of(picture), list(about.converted))


def phash_of(picture: Image.Image) -> int:
    """64-bit DCT hash; close pictures differ in few bits (imagehash.phash, first bit highest)."""
    bits = np.packbits(imagehash.phash(picture).hash.ravel())
    return int.from_bytes(bits.tobytes(), "big")
