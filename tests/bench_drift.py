"""`python -m tests.bench_drift TABLE`: what drift detection costs. Prints Markdown for docs/benchmarks.md.

scale   a reference of a million vectors made ready, a day of as many read from files and both compared, on one core: seconds and memory
day     every detector in every segment of one day, against a reference made ready
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

SEED = 11
SIZES = (100_000, 300_000, 1_000_000)


def verdict(folder: Path) -> dict[str, float]:
    """A release's reference and a day's window, read and compared: in `all` over every row, in each segment over the sample."""
    from components.contract import bind, read_params
    from components.objects import FolderStore
    from monitoring.config import MonitorConfig
    from monitoring.measured import Family
    from monitoring.measuring import measured
    from monitoring.reading import read_window
    from monitoring.reference import reference_of
    from monitoring.window import ALL
    from tests.monitoring.windows.large_log import DAY

    cfg, began = bind(MonitorConfig, "monitor", read_params()), time.process_time()
    reference = reference_of(folder / "bundle", cfg, SEED)
    made_ready = time.process_time()
    read = read_window(FolderStore(folder / "store"), DAY, reference, cfg.windows, SEED)
    were_read = time.process_time()
    found = measured(read, reference).found
    told = {m.detector: m.value for m in found if m.segment == ALL and m.family is Family.EMBEDDING}
    took = {"reference_s": made_ready - began, "read_s": were_read - made_ready, "measure_s": time.process_time() - were_read}
    return told | took | {"segments": len({m.segment for m in found}), "rows": read.about.num_rows, "sampled": read.window.rows.num_rows}


def measured(folder: Path) -> dict[str, float]:
    """What a fresh process on one core found, with its CPU seconds and its peak memory in MiB."""
    command = [sys.executable, "-m", "tests.bench_drift", "scale", "--folder", str(folder)]
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
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
    from tests.monitoring.windows.large_log import write

    print(f"Vectors of {dim} values; as many held-out items as rows a day; 2 % of the rows are of a kind that those have not\n")
    heads = ("rows a window", "CPU s, one core", "reference made ready", "log read", "measured", "peak MiB", "rows sampled", "segments")
    print(f"| {' | '.join((*heads, 'AUC', 'MMD, times chance', 'centroid', 'reconstruction'))} |\n|{'---|' * (len(heads) + 4)}")
    for num_rows in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            write(Path(scratch), num_rows, dim, 0.02)
            run = measured(Path(scratch))
        assert run["rows"] == num_rows
        cost = " | ".join(f"{run[name]:.1f}" for name in ("cpu_s", "reference_s", "read_s", "measure_s"))
        size = f"{run['peak_mib']:.0f} | {run['sampled']:,} | {run['segments']:.0f}"
        values = f"{run['domain_auc'] + 0.5:.3f} | {run['mmd']:.1f} | {run['centroid']:.3f} | {run['reconstruction']:.3f}"
        print(f"| {num_rows:,} | {cost} | {size} | {values} |", flush=True)


def day(dim: int) -> None:
    """Seconds of CPU that one day of 5,000 rows takes, by the number of segments."""
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
