"""`python -m tests.bench_decode`: pictures to model input, `images.to_square` against Pillow's plain bicubic path.

Sixty JPEGs of 512 to 1,200 px, collages of the shared photos at their own resolution, since none that large are given. Both sides run
in turn on each file, on one core. Prints Markdown for docs/benchmarks.md.
"""

import argparse
import csv
import io
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from components import resample
from components.images import normalise, to_square
from components.photos import num_cores, squares
from components.towers import Towers

NUM_FILES, SIDES_PX, SEED = 60, (512, 1200), 20
SHAPES = ((3, 4), (1, 1), (3, 4), (1, 1), (3, 4), (4, 3), (3, 4), (1, 1), (3, 4), (9, 16))  # about as often as among the shared photos
TILE_PX = 256  # the height of most of them
SIDE_PX = 224
QUALITY = 90
ROUNDS_ON_CORES = 9
WANTED = {"ratio": 1.6, "psnr_db": 45.0, "cosine": 0.999}

Decoder = Callable[[bytes, int], np.ndarray]


def plain(data: bytes, side_px: int) -> np.ndarray:
    """Pillow's path: decoded whole, RGB, antialiased bicubic."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(picture.resize((side_px, side_px), Image.Resampling.BICUBIC))


def sizes() -> list[tuple[int, int]]:
    """Width and height of each collage: the longer side in even steps, shapes in turn, no side outside SIDES_PX."""
    longer = np.linspace(*SIDES_PX, NUM_FILES).round().astype(int)
    found = []
    for side, (across, down) in zip(longer, SHAPES * (NUM_FILES // len(SHAPES)), strict=True):
        scale = side / max(across, down)
        found.append((max(round(across * scale), SIDES_PX[0]), max(round(down * scale), SIDES_PX[0])))
    return found


def tiles(photos: Path) -> list[Path]:
    """The photos that stand TILE_PX high, in the order of their list."""
    with open(photos / "listings.csv", encoding="utf-8") as file:
        named = [photos / row["image"] for row in csv.DictReader(file)]
    return [path for path in named if Image.open(path).height == TILE_PX]


def collage(size: tuple[int, int], drawn: Sequence[Path]) -> bytes:
    """A JPEG full of photos side by side, row by row, those at the edges cut."""
    sheet, left = iter(drawn), 0
    picture = Image.new("RGB", size)
    for top in range(0, size[1], TILE_PX):
        left = 0
        while left < size[0]:
            tile = Image.open(next(sheet)).convert("RGB")
            picture.paste(tile, (left, top))
            left += tile.width
    picture.save(sink := io.BytesIO(), "JPEG", quality=QUALITY, subsampling="4:2:0")
    return sink.getvalue()


def collages(photos: Path) -> dict[str, bytes]:
    """The sixty files by name; equal photos give equal bytes."""
    known, rng = tiles(photos), np.random.default_rng(SEED)
    found = {}
    for number, (width, height) in enumerate(sizes()):
        drawn = [known[n] for n in rng.integers(len(known), size=60)]
        found[f"collage-{number:02d}-{width}x{height}.jpg"] = collage((width, height), drawn)
    return found


def seconds(decoder: Decoder, data: bytes) -> float:
    """CPU time of one call."""
    started = time.process_time()
    decoder(data, SIDE_PX)
    return time.process_time() - started


def timed(files: dict[str, bytes], repeats: int) -> np.ndarray:
    """CPU seconds (repeats, files, 2): the plain path and ours, one after the other on each file. The first round is not counted."""
    rounds = []
    for _ in range(repeats + 1):
        resample.rows_of.cache_clear()
        resample.columns_of.cache_clear()  # each file is of a size not seen before
        rounds.append([[seconds(plain, data), seconds(to_square, data)] for data in files.values()])
    return np.array(rounds[1:])


def psnr_db(found: np.ndarray, wanted: np.ndarray) -> float:
    """Peak signal-to-noise ratio; 99 where nothing differs."""
    error = float(np.mean((found.astype(float) - wanted.astype(float)) ** 2))
    return 10 * np.log10(255**2 / error) if error else 99.0


def cosines(files: dict[str, bytes], exported: Path) -> list[float]:
    """Of the encoder's vectors over both paths, at its own picture size."""
    towers = Towers.open(exported, threads=1)
    side = towers.serving.image_px
    found = []
    for data in files.values():
        pair = [towers.embed_pixels(normalise(decoder(data, side))[None])[0][0] for decoder in (plain, to_square)]
        found.append(float(np.dot(*pair) / np.linalg.norm(pair[0]) / np.linalg.norm(pair[1])))
    return found


def cores(files: dict[str, bytes]) -> str:
    """How much sooner `squares` is done than one thread, by the clock."""
    pictures, spent = list(files.values()), []
    for _ in range(ROUNDS_ON_CORES):
        started = time.perf_counter()
        for data in pictures:
            to_square(data, SIDE_PX)
        between = time.perf_counter()
        squares(pictures, SIDE_PX)
        spent.append((between - started) / (time.perf_counter() - between))
    return f"`squares` on {num_cores()} cores is done {statistics.median(spent):.2f} times sooner than one thread (median of {len(spent)})."


def report(files: dict[str, bytes], spent: np.ndarray, cosine: Sequence[float]) -> None:
    """The tables."""
    closeness = [psnr_db(to_square(data, SIDE_PX), plain(data, SIDE_PX)) for data in files.values()]
    totals = spent.sum(axis=1)
    ratios = totals[:, 0] / totals[:, 1]
    each = np.median(spent, axis=0) * 1000
    print(f"| | measured | wanted |\n|---|---|---|\n| ratio of total CPU times, median of {len(ratios)} rounds | {np.median(ratios):.2f}"
          f" ({ratios.min():.2f} to {ratios.max():.2f}) | {WANTED['ratio']} |")  # fmt: skip
    print(f"| ms a picture, plain and ours | {each[:, 0].mean():.2f}, {each[:, 1].mean():.2f} | |")
    print(f"| lowest PSNR | {min(closeness):.1f} dB | {WANTED['psnr_db']:.0f} dB |")
    print(f"| lowest cosine of embeddings | {f'{min(cosine):.5f}' if cosine else 'no exported model'} | {WANTED['cosine']} |")
    print("\n| file | kB | plain ms | ours ms | PSNR dB | cosine |\n|---|---|---|---|---|---|")
    for row, (name, data) in enumerate(files.items()):
        shown = f"{cosine[row]:.5f}" if cosine else ""
        print(f"| {name} | {len(data) / 1000:.0f} | {each[row, 0]:.2f} | {each[row, 1]:.2f} | {closeness[row]:.1f} | {shown} |")


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"))
    parser.add_argument("--exported", type=Path, default=Path("models/exported"), help="of a finished workspace; without it no cosine")
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    files = collages(chosen.photos)
    free = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(free)})
    spent = timed(files, chosen.repeats)
    report(files, spent, cosines(files, chosen.exported) if chosen.exported.is_dir() else [])
    os.sched_setaffinity(0, free)
    print(f"\n{cores(files)}")


if __name__ == "__main__":
    main()
