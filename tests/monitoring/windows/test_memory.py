"""Memory grows with the sample, not with the window."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.objects import FolderStore
from components.schema import PREDICTIONS
from tests.conftest import PROJECT
from tests.monitoring.windows.shop import DAY, filled, parquet, read, release
from tests.monitoring.windows.tiny_bundle import windows

FILE_ROWS = 20_000


def write_log(store: FolderStore, num_files: int, dim: int) -> None:
    """A day of files of FILE_ROWS rows each, of items in the shop's catalogue."""
    reference, rng = release()[1], np.random.default_rng(3)
    midnight = np.datetime64(DAY.start.replace(tzinfo=None), "us").astype(np.int64)
    for number in range(num_files):
        vectors = rng.normal(size=(FILE_ROWS, dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        item = rng.integers(360, size=FILE_ROWS)
        made = {
            "ts": pa.array(midnight + np.sort(rng.integers(24 * 3_600_000_000, size=FILE_ROWS)), PREDICTIONS.field("ts").type),
            "request_id": pa.array([f"r-{number}-{row}" for row in range(FILE_ROWS)]),
            "route": pa.repeat("similar", FILE_ROWS),
            "release_id": pa.repeat(reference.release_id, FILE_ROWS),
            "item_id": pa.array([f"m-{one:05d}" for one in item]),
            "image_id": pa.array([f"quiet-{one}" for one in item]),
            "fingerprint": pa.repeat(reference.fingerprint, FILE_ROWS),
            "vector": pa.ListArray.from_arrays(
                pa.array(np.arange(FILE_ROWS + 1, dtype=np.int32) * dim), pa.array(vectors.astype(np.float16).ravel())
            ),
            "image_score": pa.array(rng.random(FILE_ROWS).astype(np.float32)),
            "latency_ms": pa.array(np.full(FILE_ROWS, 5.0, np.float32)),
        }
        columns = [made.get(field.name, pa.nulls(FILE_ROWS, field.type)) for field in PREDICTIONS]
        store.put(f"predictions/dt=2026-01-03/log-{number:03d}.parquet", parquet(pa.table(columns, schema=PREDICTIONS)))


def test_rows_in_memory_do_not_grow_with_the_window(tmp_path):
    cfg, held = windows(sample_rows=2000, segment_rows=200), {}
    for num_files in (1, 4):
        store = FolderStore(tmp_path / str(num_files))
        write_log(store, num_files, release()[1].owner.dim)
        found = read(store, cfg=cfg)
        assert found.about.num_rows == num_files * FILE_ROWS
        assert found.whole[1].weight == num_files * FILE_ROWS
        held[num_files] = (found.about.num_held, found.window.rows.num_rows)
    assert held[4][0] <= 1.2 * held[1][0] <= 12_000
    assert held[4][1] <= 1.2 * held[1][1]


def test_a_process_that_reads_eight_times_the_rows_needs_hardly_more_memory(tmp_path):
    peaks = {}
    for num_files in (1, 8):
        write_log(FolderStore(tmp_path / str(num_files)), num_files, release()[1].owner.dim)
        command = [sys.executable, "-m", "tests.monitoring.windows.test_memory", str(tmp_path / str(num_files))]
        told = json.loads(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout)
        assert told["num_rows"] == num_files * FILE_ROWS
        peaks[num_files] = told["peak_mib"] - told["before_mib"]
    assert peaks[8] < 1.5 * peaks[1] + 10


def main() -> None:
    """As a child: reads the day in the folder, and says how much memory that took at most."""
    store, cfg = FolderStore(Path(sys.argv[1])), windows(sample_rows=2000, segment_rows=200)
    reference = release()[1]
    read(filled(FolderStore(Path(sys.argv[1]) / "warm")), cfg=cfg)  # what every reading needs is there now
    before = _peak_mib()
    found = read(store, cfg=cfg, reference=reference)
    print(json.dumps({"num_rows": found.about.num_rows, "before_mib": before, "peak_mib": _peak_mib()}))


def _peak_mib() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
