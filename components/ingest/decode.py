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
from components.work_cache import Pack

SIDE_PX = 224
CELL_PX = 8
FLUSH_EVERY = 256
MIN_LAPLACIAN_VARIANCE = 1e-4


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


def stats_of(picture: Image.Image) -> dict[str, float]:
    """Brightness, sharpness, contrast and text share of the picture squeezed to 224 x 224 px, rounded to float32 (schema.STATS)."""
    small = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).convert("L")
    luma = np.asarray(small, np.float32) / np.float32(255)
    values = {
        "brightness": luma.mean(),
        "sharpness": sharpness_of(luma),
        "contrast": luma.std(),
        "text_share": text_share_of(luma),
    }
    return {name: float(np.float32(value)) for name, value in values.items()}


def sharpness_of(luma: np.ndarray) -> float:
    """log10 of the variance of the 4-neighbour Laplacian on a 0 to 255 scale: about 1 blurred, 3 crisp; -4 where nothing varies."""
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    return float(np.log10(max(float((laplacian * 255).var()), MIN_LAPLACIAN_VARIANCE)))


def text_share_of(luma: np.ndarray) -> float:
    """Share of 8 x 8 px cells that look like lettering, 0 to 1: two tones, strong contrast, many changes between them.

    A rough sign, made for watching a catalogue's mean: knitwear and gratings count too.
    """
    side = luma.shape[0] // CELL_PX
    cells = luma.reshape(side, CELL_PX, side, CELL_PX).swapaxes(1, 2)
    low, high = cells.min((2, 3), keepdims=True), cells.max((2, 3), keepdims=True)
    span = high - low
    two_toned = (np.minimum(cells - low, high - cells) < 0.25 * span).mean((2, 3)) > 0.6
    ink = cells > (low + high) / 2
    changes = np.diff(ink, axis=3).sum((2, 3)) + np.diff(ink, axis=2).sum((2, 3))
    return float(((span[..., 0, 0] > 0.35) & two_toned & (changes >= 2 * CELL_PX)).mean())
