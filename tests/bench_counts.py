"""How long counting takes, and what it holds: `taskset -c 0 python -m tests.bench_counts [ANSWERS] [FILES]`.

As many items are shown as there are answers (ten on every tenth page), 3 % of the pages are tapped, and each table comes in so many
files.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.objects import FolderStore
from components.release.counts import Counter
from components.release.evidence import Look
from components.release.shadow import Baseline
from components.release.strata import CountingConfig, Stratum
from tests.release.canary_log import BEGAN, GROUPS, LIMITS, Row, act, after, answer, channel, shown, write

CFG = CountingConfig(attribution_s=1800.0, min_baseline_answers=1000, slow_quantile=0.99, score_band=[0.05, 0.95], readers=1)
BASELINES = {group: Baseline(group, BEGAN, 1000, 100, LIMITS, {}) for group in GROUPS}
NUM_ITEMS = 10


def main(num_answers: int, num_files: int) -> None:
    """Prints each figure on a line."""
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        began = time.perf_counter()
        for part in np.array_split(np.arange(num_answers), num_files):
            _write(store, part, np.random.default_rng(int(part[0])))
        print(f"written: {num_answers:,} answers in {num_files:,} files a table, {time.perf_counter() - began:.0f} s")
        before = _peak_mib()
        counter = Counter(store, CFG, clock=lambda: after(3600).timestamp())
        _timed("all at once", counter)
        print(f"held: about {_peak_mib() - before} MiB more at the peak")
        for _ in range(3):
            _timed("nothing new", counter)
        fresh = np.arange(num_answers, num_answers + 300)
        _write(store, fresh, np.random.default_rng(1))
        look = _timed("300 answers more", counter)
        print({arm: look.users[arm] for arm in look.users}, {name: one["canary"].sum_x for name, one in look.samples.items()})


def _timed(what: str, counter: Counter) -> Look:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    counter.read(channel(5), BASELINES, GROUPS)
    looks: dict[Stratum, Look] = counter.looks(after(1))
    print(f"{what}: {time.perf_counter() - wall_s:.2f} s, {time.process_time() - cpu_s:.2f} s of a core")
    return next(iter(looks.values()))


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _write(store: FolderStore, numbers: np.ndarray, rng: np.random.Generator) -> None:
    """One file of each table, of the answers with those numbers."""
    answers: list[Row] = []
    items: list[Row] = []
    acts: list[Row] = []
    for number in numbers.tolist():
        user = int(rng.integers(100_000))
        page = f"{number:032x}"
        answers.append(
            answer(
                page,
                f"{user:064x}",
                "canary" if user % 20 == 0 else "stable",
                at_s=number / 1000,
                num_hits=NUM_ITEMS,
                latency_ms=float(rng.exponential(20)),
                hit_scores=rng.random(NUM_ITEMS).astype(np.float16).tolist(),
            )
        )
        if number % NUM_ITEMS == 0:
            items += [shown(page, f"m-{number + slot:08d}") for slot in range(NUM_ITEMS)]
            if rng.random() < 0.03:
                acts.append(act(page, f"m-{number:08d}", at_s=number / 1000 + 20))
    for name, rows in (("answers", answers), ("impressions", items), ("clicks", acts)):
        if rows:
            write(store, name, rows, BEGAN)


if __name__ == "__main__":
    pa.set_cpu_count(1)
    given = [int(one) for one in sys.argv[1:]]
    main(*given, *(1_000_000, 1_000)[len(given) :])
