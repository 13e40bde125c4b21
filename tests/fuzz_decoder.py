"""`python -m tests.fuzz_decoder --files N --seed S`: broken picture files by the thousand through the gateway's decoder.

Every file must be decoded or refused with a code of its own: no worker may be lost, nothing may be condemned, and neither the parent nor a
worker may grow. Prints progress, then Markdown for docs/benchmarks.md; leaves with status 1 where something was found, and keeps those
files in --keep.
"""

import argparse
import asyncio
import hashlib
import resource
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.contract import read_params
from components.serve.pictures.config import PicturesConfig
from components.serve.pictures.decoder import Decoder
from components.serve.problems import Refused
from tests.fuzz_pictures import growth_mib, resident_mib
from tests.mutations import mutated, seeds

MAX_FILE_S = 2.0
MAX_GROWTH_MIB = 32
SIDES_PX = (32, 224)
AT_ONCE = 16
PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


@dataclass
class Found:
    """What the run saw: outcomes by code, seconds by file, memory in use by batch, and what should not have been."""

    codes: Counter[str] = field(default_factory=Counter)
    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    parent_mib: list[float] = field(default_factory=list)
    workers_mib: list[float] = field(default_factory=list)
    lost: int = 0
    bad_files: dict[str, bytes] = field(default_factory=dict)

    def took(self, code: str, seconds: float, data: bytes) -> None:
        """Takes note of a file's outcome."""
        self.codes[code] += 1
        self.seconds.append(seconds)
        if seconds > MAX_FILE_S or code in ("picture_poisonous", "picture_too_slow", "internal"):
            self.bad_files[f"{code}-{hashlib.sha256(data).hexdigest()[:16]}"] = data


async def fuzz(num_files: int, seed: int, batch: int, decoder: Decoder, say: Callable[[str], None] = lambda _: None) -> Found:
    """The whole run, AT_ONCE files at a time."""
    found, known = Found(), list(seeds().values())
    for first in range(0, num_files, batch):
        numbers = iter(range(first, min(first + batch, num_files)))
        started = time.perf_counter()
        await asyncio.gather(*(_client(numbers, seed, known, decoder, found) for _ in range(AT_ONCE)))
        found.parent_mib.append(resident_mib())
        found.workers_mib.append(max(_resident_mib_of(pid) for pid in decoder.pids))
        found.lost = decoder.figures()["lost"]
        rate = (min(first + batch, num_files) - first) / (time.perf_counter() - started)
        memory = f"{found.parent_mib[-1]:.0f} MiB, largest worker {found.workers_mib[-1]:.0f} MiB"
        say(f"{len(found.seconds)} files, {rate:.0f} a second, {memory}, slowest {max(found.seconds):.2f} s, {found.lost} workers lost")
    return found


async def _client(numbers: Iterator[int], seed: int, known: Sequence[bytes], decoder: Decoder, found: Found) -> None:
    for number in numbers:
        data = mutated(number, seed, known)
        started = time.perf_counter()
        try:
            await decoder.decode(data, SIDES_PX, True)
            code = "decoded"
        except Refused as refused:
            code = refused.code
        found.took(code, time.perf_counter() - started, data)


def _resident_mib_of(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def report(found: Found, seed: int) -> None:
    """Markdown."""
    print(f"\n{len(found.seconds):,} files, seed {seed}.")
    print("\n| | measured | wanted |\n|---|---|---|")
    print(f"| workers lost | {found.lost} | 0 |")
    print(f"| slowest file by the clock, {AT_ONCE} at once | {max(found.seconds):.2f} s | {MAX_FILE_S:.0f} s |")
    for name, by_batch in (("gateway", found.parent_mib), ("largest worker", found.workers_mib)):
        print(f"| memory of the {name}, first and last quarter of {len(by_batch)} batches | {growth_mib(by_batch):+.1f} MiB"
              f" ({min(by_batch):.0f} to {max(by_batch):.0f} MiB) | no growth |")  # fmt: skip
    print("\n| outcome | files |\n|---|---|")
    for code, count in found.codes.most_common():
        print(f"| {code} | {count:,} |")


async def _main(chosen: argparse.Namespace) -> Found:
    decoder = await Decoder.open(PicturesConfig.model_validate(read_params(PARAMS)["serve"]["pictures"]))
    try:
        return await fuzz(chosen.files, chosen.seed, chosen.batch, decoder, lambda text: print(text, file=sys.stderr, flush=True))
    finally:
        await decoder.close()


def main() -> None:
    """Runs it and says what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--keep", type=Path, default=None, help="folder for files that showed a fault")
    chosen = parser.parse_args()
    found = asyncio.run(_main(chosen))
    report(found, chosen.seed)
    if chosen.keep and found.bad_files:
        chosen.keep.mkdir(parents=True, exist_ok=True)
        for name, data in found.bad_files.items():
            (chosen.keep / name).write_bytes(data)
    grown = max(growth_mib(found.parent_mib), growth_mib(found.workers_mib)) > MAX_GROWTH_MIB
    sys.exit(bool(found.lost or found.bad_files) or grown)


if __name__ == "__main__":
    main()
