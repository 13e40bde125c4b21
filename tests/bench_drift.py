"""`python -m tests.bench_drift TABLE`: what drift detection costs. Prints Markdown for docs/benchmarks.md.

scale   the whole embedding verdict over two windows of a million vectors, on one core: seconds of CPU and memory at its peak
day     every detector in every segment of one day, against a reference made ready
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK_ROWS = 32_768
SEED = 11
SAMPLE_ROWS = 20_000
SIZES = (100_000, 300_000, 1_000_000)
NUM_CENTRES = 64


def write_window(path: Path, num_rows: int, dim: int, seed: int, shift_share: float) -> None:
    """Rows as a log holds them, float16 vectors of unit length; `shift_share` of them are of a kind that the other window has not."""
    from tests.monitoring.detectors.shop import CATEGORIES, START

    shop, rng = np.random.default_rng(SEED), np.random.default_rng(seed)
    centre = shop.normal(0, 1, (NUM_CENTRES + 1, dim))
    vector = pa.list_(pa.float16(), dim)
    names = ("item_id", "image_id", "request_id", "seller_id", "platform", "category", "app_version")
    kinds = pa.schema([("ts", pa.timestamp("us", "UTC")), *((name, pa.string()) for name in names), ("vector", vector)])
    with pq.ParquetWriter(path, kinds, compression="none", use_dictionary=False) as writer:
        for start in range(0, num_rows, CHUNK_ROWS):
            n = min(CHUNK_ROWS, num_rows - start)
            kind = np.where(rng.random(n) < shift_share, NUM_CENTRES, rng.integers(NUM_CENTRES, size=n))
            z = centre[kind] + rng.normal(0, 1, (n, dim))
            z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float16)
            item, seller = rng.integers(num_rows, size=n), rng.integers(num_rows // 20, size=n)
            columns = {
                "ts": pa.array([START] * n, kinds.field("ts").type),
                "item_id": pa.array([f"m-{seed}-{i:08d}" for i in item]),
                "image_id": pa.array([f"p-{seed}-{i:08d}" for i in item]),
                "request_id": pa.array([f"r-{seed}-{start + i:08d}" for i in range(n)]),
                "seller_id": pa.array([f"s-{i:06d}" for i in seller]),
                "platform": pa.array(rng.choice(["web", "ios", "android"], n)),
                "category": pa.array(np.array(CATEGORIES)[kind % len(CATEGORIES)]),
                "app_version": pa.array(rng.choice([f"3.{v}.0" for v in range(8)], n)),
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(z.ravel()), dim),
            }
            writer.write_table(pa.table(columns, schema=kinds))


def batches(path: Path) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """The rows of a file and their vectors, some at a time; what pyarrow reads ahead it would keep until the end."""
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(CHUNK_ROWS):
        vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
        yield pa.Table.from_batches([batch]).drop(["vector"]), vectors.reshape(batch.num_rows, -1)


def chunks(path: Path, cfg):
    """The rows of a file, as the detectors add them up."""
    from monitoring.detectors.whole import Chunk

    for table, vectors in batches(path):
        yield Chunk.of(table, vectors, np.ones(len(vectors)), cfg, SEED)


def sample(path: Path, share: float):
    """A window of that share of the rows, chosen by their request."""
    from monitoring.detectors.hashes import hashed, mixed
    from monitoring.window import COLUMNS
    from tests.monitoring.detectors.shop import window_over

    kept = []
    for table, vectors in batches(path):
        chosen = mixed(hashed(table["request_id"]), SEED) < np.uint64(share * (2**64 - 1)) if share < 1 else np.ones(len(vectors), bool)
        kept.append((table.filter(pa.array(chosen)), vectors[chosen].astype(np.float32)))
    table, vectors = pa.concat_tables(one for one, _ in kept), np.concatenate([one for _, one in kept])
    absent = [name for name in COLUMNS.names if name not in table.column_names]
    for name in absent:
        table = table.append_column(name, pa.nulls(table.num_rows, COLUMNS.field(name).type))
    return window_over(table.select(COLUMNS.names), vectors, np.full(len(vectors), 1 / share))


def verdict(folder: Path) -> dict[str, float]:
    """Both windows read and compared, in `all` over every row and in each segment over the sample."""
    from monitoring.detectors.measure import Baseline, compare
    from monitoring.detectors.whole import add_up, fit
    from monitoring.extras import Extras
    from monitoring.measured import Family
    from monitoring.window import ALL
    from tests.monitoring.detectors.shop import make_config

    cfg, paths = make_config(), (folder / "reference.parquet", folder / "current.parquet")
    num_rows = min(pq.read_metadata(path).num_rows for path in paths)
    before, now = (sample(path, min(1.0, SAMPLE_ROWS / num_rows)) for path in paths)
    space = fit(chunks(paths[0], cfg), cfg, SEED)
    whole = add_up(space, chunks(paths[0], cfg), cfg), add_up(space, chunks(paths[1], cfg), cfg)
    found = compare(Baseline.of(before, cfg, SEED, space), now, Extras(), Extras(), whole).found
    told = {m.detector: m.value for m in found if m.segment == ALL and m.family is Family.EMBEDDING}
    return told | {"segments": len({m.segment for m in found})}


def measured(folder: Path) -> dict[str, float]:
    """What a fresh process on one core found, with its CPU seconds and its peak memory in MiB."""
    command = [sys.executable, "-m", "tests.bench_drift", "scale", "--folder", str(folder)]
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=alone).stdout))


def one_core(folder: Path) -> None:
    """As a child: the verdict, and what it took."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    found = verdict(folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps(found | {"cpu_s": used.ru_utime + used.ru_stime, "peak_mib": peak}))


def scale(dim: int) -> None:
    """The table of window sizes."""
    print(f"Vectors of {dim} values; 2 % of the second window are of a kind that the first has not; {SAMPLE_ROWS:,} rows sampled\n")
    heads = ("rows a window", "CPU s, one core", "peak MiB", "segments", "AUC", "MMD, times chance", "centroid", "reconstruction")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for num_rows in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write_window(folder / "reference.parquet", num_rows, dim, 1, 0.0)
            write_window(folder / "current.parquet", num_rows, dim, 2, 0.02)
            run = measured(folder)
        cost = f"{run['cpu_s']:.1f} | {run['peak_mib']:.0f} | {run['segments']:.0f}"
        values = f"{run['domain_auc'] + 0.5:.3f} | {run['mmd']:.1f} | {run['centroid']:.3f} | {run['reconstruction']:.3f}"
        print(f"| {num_rows:,} | {cost} | {values} |", flush=True)


def day(dim: int) -> None:
    """Seconds of CPU that one day of 5,000 rows takes, by the number of segments."""
    import time

    from monitoring.detectors.measure import Baseline, compare
    from monitoring.extras import Extras
    from tests.monitoring.detectors.shop import make_config, make_window

    print(f"\nA day of 5,000 rows of {dim} values against 451, every detector in every segment; median of 7\n")
    print("| segments | values | CPU seconds |\n|---|---|---|")
    for num_versions in (1, 8, 20):
        windows = [make_window(num, dim=dim, seed=num, num_items=3000) for num in (451, 5000)]
        if num_versions != 8:
            versions = [f"4.{n}.0" for n in range(num_versions)]
            windows = [_with_versions(window, versions) for window in windows]
        baseline, took = Baseline.of(windows[0], make_config(min_rows=5), SEED), []
        for _ in range(7):
            began = time.process_time()
            found = compare(baseline, windows[1], Extras(), Extras()).found
            took.append(time.process_time() - began)
        print(f"| {len({m.segment for m in found})} | {len(found)} | {np.median(took):.2f} |")


def _with_versions(window, versions: list[str]):
    from tests.monitoring.detectors.shop import changed

    return changed(window, app_version=np.resize(versions, len(window.weight)))


def main() -> None:
    """The table asked for, or, as a child, one measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", choices=["scale", "day"])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.folder:
        return one_core(asked.folder)
    return {"scale": scale, "day": day}[asked.table](asked.dim)


if __name__ == "__main__":
    main()
