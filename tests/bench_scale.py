"""`python -m tests.bench_scale`: what the line costs on many listings, with nothing changed and with one in a thousand changed.

Draws a folder of small photos (or copies one: --photos), runs the line on it with a small encoder, then again with the encoder held.
Prints Markdown for docs/benchmarks.md. With the default 100,000 listings it takes about 20 minutes on two cores.
"""

import argparse
import csv
import io
import json
import logging
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

from components.contract import bind, read_params
from components.ingest.market import MarketConfig, simulate
from components.progress import track
from tests.conftest import PROJECT, make_workspace, run

COLUMNS = ["item_id", "image", "title", "category", "subcategory", "description", "contributor_id", "group_id", "price"]
TRAINING = ("finetune", "score")
CACHED = ("ingest", "label", "embed")
PART = 2_000


def market(num_listings: int, seed: int) -> MarketConfig:
    """A market of small photos."""
    params = bind(MarketConfig, "market", read_params(PROJECT / "params.yaml"))
    size = {"num_listings": num_listings, "num_sellers": max(40, num_listings // 12), "photo_px": 64, "bad_share": 0.0}
    return params.model_copy(update=size | {"seed": seed})


def draw(job: tuple[int, int, Path]) -> list[list[Any]]:
    """The CSV rows of one part of the catalogue, after its photos lie in the folder. Each part is a market of its own."""
    part, size, folder = job
    (folder / f"p{part:04d}").mkdir()
    rows = []
    for raw, _ in simulate(market(size, seed=part)):
        name, one = f"p{part:04d}/{raw.picture_name}", raw.fields
        (folder / name).write_bytes(raw.picture or b"")
        ids = [f"{part:04d}-{one[key]}" for key in ("item_id", "seller_id", "product_id")]
        category = one["category"]
        assert isinstance(category, list)
        rows.append([ids[0], name, one["title"], *category[:2], one["description"], *ids[1:], one["price"]])
    return rows


def write_folder(folder: Path, num_listings: int) -> list[Path]:
    """A folder source, and its photos."""
    folder.mkdir(parents=True)
    jobs = [(part, min(PART, num_listings - start), folder) for part, start in enumerate(range(0, num_listings, PART))]
    with open(folder / "listings.csv", "w", newline="", encoding="utf-8") as file, multiprocessing.Pool() as pool:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for rows in track(pool.imap(draw, jobs), len(jobs), "drawing, parts"):
            writer.writerows(rows)
    return sorted(folder.rglob("*.jpg"))


def retake(photo: Path) -> None:
    """Replaces a photo by a slightly brighter one."""
    target = io.BytesIO()
    ImageEnhance.Brightness(Image.open(photo).convert("RGB")).enhance(1.1).save(target, "JPEG", quality=88)
    photo.write_bytes(target.getvalue())


def log_of(workspace: Path) -> list[dict[str, Any]]:
    """Every run of a stage, oldest first."""
    return [json.loads(line) for line in (workspace / "runs" / "stages.jsonl").read_text().splitlines()]


def timed(workspace: Path, *command: str) -> float:
    """Seconds that a command took."""
    started = time.monotonic()
    run(workspace, *command, timeout_s=4 * 3600)
    return time.monotonic() - started


def measure(scratch: Path, shop: Path, photos: Sequence[Path], every: int) -> Iterator[str]:
    """The lines of the report, as they become known. One photo in `every` is changed."""
    shoppers = {"num_requests": max(700, len(photos) * 2 // 5), "num_users": max(60, len(photos) // 50)}
    small = {"finetune": {"train": {"epochs": 1}}, "score": {"head": {"epochs": 1}}, "label": {"max_pairs": 5000}}
    workspace = make_workspace(scratch / "workspace", {"market": shoppers, "ingest": {"num_shards": 16}, **small})
    yield f"{len(photos):,} listings, photos of {sum(p.stat().st_size for p in photos) / len(photos) / 1024:.1f} KiB.\n"
    yield f"Snapshot: {timed(workspace, 'vitrine', 'source', 'folder', str(shop)):.0f} s"
    yield f"\nFirst run: {timed(workspace, 'dvc', 'repro') / 60:.1f} min\n"
    first = log_of(workspace)
    yield "| stage | seconds | peak memory (MiB) |\n|---|---|---|"
    for row in first:
        yield f"| {row['stage']} | {row['seconds']:.0f} | {row['peak_memory_mib']} |"
    yield f"\nNothing changed: {min(timed(workspace, 'dvc', 'repro') for _ in range(2)):.1f} s"
    yield from measure_change(workspace, shop, photos[::every], len(first))
    worst = max((row for row in log_of(workspace) if row["stage"] not in TRAINING), key=lambda row: float(row["peak_memory_mib"]))
    yield f"\nLargest peak of any stage but training: {worst['peak_memory_mib']} MiB ({worst['stage']})"


def measure_change(workspace: Path, shop: Path, changed: Sequence[Path], num_runs: int) -> Iterator[str]:
    """What the next run worked on again, after those photos were taken anew and with the encoder held."""
    for photo in changed:
        retake(photo)
    run(workspace, "vitrine", "source", "folder", str(shop))
    run(workspace, "dvc", "freeze", "finetune", "score", "export")
    seconds = timed(workspace, "dvc", "repro")
    yield f"\n{len(changed):,} photos changed, encoder held: {seconds / 60:.1f} min\n"
    yield "| stage | reused | worked on | share |\n|---|---|---|---|"
    again = {row["stage"]: row for row in log_of(workspace)[num_runs:]}
    for stage in CACHED:
        use = again[stage]["cache"]
        yield f"| {stage} | {use['reused']:,} | {use['recomputed']:,} | {use['recomputed'] / (use['reused'] + use['recomputed']):.2%} |"


def main() -> None:
    """Prints the report line by line; progress goes to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser()
    parser.add_argument("--listings", type=int, default=100_000)
    parser.add_argument("--photos", type=Path, help="a folder source to copy in place of drawn photos")
    parser.add_argument("--every", type=int, default=1000, help="one photo in so many is changed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch, shop = Path(temporary), Path(temporary) / "shop"
        photos = sorted(shutil.copytree(asked.photos, shop).rglob("*.jpg")) if asked.photos else write_folder(shop, asked.listings)
        for line in measure(scratch, shop, photos, asked.every):
            print(line, flush=True)


if __name__ == "__main__":
    main()
