"""`python -m tests.bench_pictures`: the guarded decoder against bare images.to_square in one process with as many threads.

Both sides in one run, taking turns; figures are medians of the rounds. Prints Markdown for docs/benchmarks.md.
"""

import argparse
import asyncio
import io
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from components.contract import read_params
from components.images import to_square
from components.serve.pictures.config import PicturesConfig
from components.serve.pictures.decoder import Decoder

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
AT_ONCE = 16
CASES = {
    "demo photo (192 px, to 80 px)": (192, 80),
    "phone photo (1,200 px, to 224 px)": (1200, 224),
    "camera photo (4,000 px, to 224 px)": (4000, 224),
}
HEADER = "| pictures a second | guarded decoder | bare, one process, as many threads | ratio | gateway's own CPU a picture, us |"


def photo(long_side: int, number: int) -> bytes:
    """A JPEG with about as much detail as a photo has."""
    noise = Image.effect_noise((48, 36), 90).resize((long_side, long_side * 3 // 4), Image.Resampling.BICUBIC)
    tinted = Image.merge("RGB", (noise, noise.rotate(180), noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    tinted.save(sink := io.BytesIO(), "JPEG", quality=85 - number % 5)
    return sink.getvalue()


async def pool_rate(decoder: Decoder, photos: Sequence[bytes], side_px: int, num: int) -> tuple[float, float]:
    """Pictures a second through the decoder, and CPU seconds of the gateway's own process for each."""
    numbers = iter(range(num))

    async def client() -> None:
        for number in numbers:
            await decoder.decode(photos[number % len(photos)], (side_px,), False)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return num / (time.perf_counter() - began), (time.process_time() - cpu) / num


def bare_rate(photos: Sequence[bytes], side_px: int, num: int, threads: int) -> float:
    """Pictures a second through to_square in this process."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda number: to_square(photos[number % len(photos)], side_px), range(num)))
    return num / (time.perf_counter() - began)


async def bench(seconds: float, rounds: int, threads: int) -> list[str]:
    """The table's rows."""
    cfg = PicturesConfig.model_validate(read_params(PARAMS)["serve"]["pictures"])
    decoder, rows = await Decoder.open(cfg), []
    for name, (long_side, side_px) in CASES.items():
        photos = [photo(long_side, number) for number in range(20)]
        num = max(40, int(seconds * bare_rate(photos, side_px, 40, threads)))
        pool, bare, cpu = [], [], []
        for _ in range(rounds):
            bare.append(bare_rate(photos, side_px, num, threads))
            rate, spent = await pool_rate(decoder, photos, side_px, num)
            pool.append(rate)
            cpu.append(spent)
        ratio = statistics.median(p / b for p, b in zip(pool, bare, strict=True))
        pool_s, bare_s, cpu_s = (statistics.median(one) for one in (pool, bare, cpu))
        rows.append(f"| {name} | {pool_s:,.0f} | {bare_s:,.0f} | {ratio:.2f} | {cpu_s * 1e6:.0f} |")
    await decoder.close()
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each side in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of the bare side: as many as there are cores")
    chosen = parser.parse_args()
    print("\n".join([HEADER, "|---|---|---|---|---|", *asyncio.run(bench(chosen.seconds, chosen.rounds, chosen.threads))]))


if __name__ == "__main__":
    main()
