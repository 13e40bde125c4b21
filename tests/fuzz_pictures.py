"""`python -m tests.fuzz_pictures --files N --seed S`: broken picture files by the thousand through the real `ingest`, in batches.

Every file must end as a row or in quarantine, with its bytes; what was taken in must also decode for serving. Looks for crashes, for
files that take longer than MAX_FILE_S, and for memory that grows from batch to batch. Prints progress, then Markdown for
docs/benchmarks.md; leaves with status 1 where something was found, and keeps those files in --keep.
"""

import argparse
import ctypes
import faulthandler
import gc
import hashlib
import resource
import shutil
import statistics
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.containers.foreign import hidden
from components.containers.read import parts_of
from components.images import to_square
from components.ingest import intake
from components.ingest.decode import Measured
from components.ingest.rows import Rejection
from tests.data.test_ingest import Shop, row, write_folder
from tests.mutations import mutated, seeds
from tests.picture_files import encoded, scene

MAX_FILE_S = 2.0
HANG_S = 120
SIDE_PX = 32
WARM_UP_BATCHES = 3
MAX_GROWTH_MIB = 32


@dataclass
class Found:
    """What the run saw. `faults` are sentences; `rss_mib` is by batch."""

    num_files: int = 0
    taken: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    cpu_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    rss_mib: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    bad_files: dict[str, bytes] = field(default_factory=dict)

    def fault(self, what: str, data: bytes) -> None:
        """Takes note of a fault and of the file."""
        name = hashlib.sha256(data).hexdigest()[:16]
        self.faults.append(f"{name}: {what}")
        self.bad_files[name] = data


def watched(found: Found) -> Callable[[str, bytes, Any], Any]:
    """`measured` of ingest with a stop-watch, and with serving's decoder behind it for every picture that is taken."""
    real = intake.measured

    def watch(image_id: str, data: bytes, pack: Any) -> Any:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        started, cpu = time.perf_counter(), time.thread_time()
        try:
            outcome = real(image_id, data, pack)
            if parts := parts_of(data):  # behind open_picture a fault of a walk looks like one of the file
                hidden(data, parts)
        except Exception as error:
            found.fault(f"ingest would stop: {type(error).__name__}: {error}", data)
            outcome = Rejection("picture_unreadable", "the fuzzer went on")
        spent = time.perf_counter() - started
        found.seconds.append(spent)
        found.cpu_seconds.append(time.thread_time() - cpu)
        if spent > MAX_FILE_S:
            found.fault(f"took {spent:.1f} s", data)
        if isinstance(outcome, Measured):
            try:
                to_square(data, SIDE_PX)
            except Exception as error:
                found.fault(f"taken in, but serving says {type(error).__name__}: {error}", data)
        faulthandler.cancel_dump_traceback_later()
        return outcome

    return watch


def ingest_batch(files: Mapping[str, bytes], found: Found) -> None:
    """One batch through ingest in a folder of its own; every file must be in a table afterwards, with its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(n, item_id=name, image=f"{name}.jpg") for n, name in enumerate(files)]
        shop = Shop(Path(folder)).pin(write_folder(Path(folder) / "photos", rows, {f"{name}.jpg": data for name, data in files.items()}))
        shop.market = shop.market.model_copy(update={"num_requests": 20, "num_users": 5})
        shop.run()
        kept = {one["key"]: one for one in shop.quarantined("images")}
        pictures = {one["image_id"]: one["data"] for one in shop.table("images")}
        taken = {one["item_id"]: pictures[one["image_id"]] for one in shop.table("listings")}
    found.num_files += len(files)
    found.taken += len(taken)
    found.reasons.update(one["reason"] for one in kept.values())
    for name, data in files.items():
        ends = [table[name] for table in ({key: one["data"] for key, one in kept.items()}, taken) if name in table]
        if ends != [data]:
            found.fault(f"ended {len(ends)} times, or with other bytes", data)


def resident_mib() -> float:
    """Memory of this process that is in use now; what is only held free for later use is given back first (glibc)."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def fuzz(num_files: int, seed: int, batch: int, say: Callable[[str], None]) -> Found:
    """The whole run. Always one sound picture a batch, so that ingest has something to go on with."""
    found, known = Found(), list(seeds().values())
    real, intake.measured = intake.measured, watched(found)
    try:
        for first in range(0, num_files, batch):
            last = min(first + batch, num_files)
            files = {f"f-{n - first:05d}": mutated(n, seed, known) for n in range(first, last)}
            started = time.perf_counter()
            ingest_batch({"sound": encoded(scene()), **files}, found)
            found.rss_mib.append(resident_mib())
            say(f"{found.num_files} files, {len(files) / (time.perf_counter() - started):.0f} a second, {found.rss_mib[-1]:.0f} MiB,"
                f" slowest {max(found.seconds):.2f} s, {len(found.faults)} faults")  # fmt: skip
    finally:
        intake.measured = real
    return found


def growth_mib(rss_mib: Sequence[float]) -> float:
    """How much more the last quarter of batches used than the first quarter after the warm-up, in the median."""
    steady = rss_mib[WARM_UP_BATCHES:]
    quarter = max(1, len(steady) // 4)
    return statistics.median(steady[-quarter:]) - statistics.median(steady[:quarter]) if len(steady) > 1 else 0.0


def report(found: Found, seed: int) -> None:
    """Markdown."""
    p99 = float(np.quantile(found.cpu_seconds, 0.99)) * 1000
    print(f"\n{found.num_files:,} files, seed {seed}: {found.taken:,} taken in, {sum(found.reasons.values()):,} in quarantine.")
    print(
        f"\n| | measured | wanted |\n|---|---|---|\n| files lost, doubled, changed, slow, or refused by serving | {len(found.faults)} | 0 |"
    )
    print(f"| slowest file by the clock | {max(found.seconds):.2f} s | {MAX_FILE_S:.0f} s |")
    print(f"| slowest file, CPU | {max(found.cpu_seconds):.3f} s (99 % below {p99:.1f} ms) | |")
    print(f"| memory, first and last quarter of {len(found.rss_mib)} batches | {growth_mib(found.rss_mib):+.1f} MiB"
          f" ({min(found.rss_mib):.0f} to {max(found.rss_mib):.0f} MiB) | no growth |")  # fmt: skip
    print("\n| reason | files |\n|---|---|")
    for reason, count in found.reasons.most_common():
        print(f"| {reason} | {count:,} |")
    for fault in found.faults[:50]:
        print(f"\n- {fault}")


def main() -> None:
    """Runs it and says what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--keep", type=Path, default=None, help="folder for files that showed a fault")
    chosen = parser.parse_args()
    faulthandler.enable()
    found = fuzz(chosen.files, chosen.seed, chosen.batch, lambda text: print(text, file=sys.stderr, flush=True))
    report(found, chosen.seed)
    if chosen.keep and found.bad_files:
        shutil.rmtree(chosen.keep, ignore_errors=True)
        chosen.keep.mkdir(parents=True)
        for name, data in found.bad_files.items():
            (chosen.keep / name).write_bytes(data)
    sys.exit(bool(found.faults) or growth_mib(found.rss_mib) > MAX_GROWTH_MIB)


if __name__ == "__main__":
    main()
