"""`python -m tests.bench_inference`: the image tower in every precision against torch, and its queue against the bare session.

ViT-B/16 at 224 px with random weights, and any bundle besides. Sides run in turn, several rounds; prints Markdown for docs/benchmarks.md.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from components.contract import bind, read_params
from components.export.graphs import IMAGE_INPUT
from components.images import normalise
from components.photos import num_cores, squares
from components.serve.inference.config import InferenceConfig
from components.serve.inference.open import open_inference
from components.towers import IMAGE_GRAPH, Serving, open_session
from tests.vit_bundle import SIDE_PX, kept_vit_bundle, picture, torch_towers

NUM_CALLERS = 64
BATCH = 8
WANTED = {"ratio": 2.0, "cosine": 0.995}

Run = Callable[[np.ndarray], list[np.ndarray]]


def pictures(photos: Path, count: int, side_px: int) -> np.ndarray:
    """uint8 (count, side, side, 3): shared photos where there are any, else drawn ones."""
    found = sorted(photos.rglob("*.jpg"))
    step = max(1, len(found) // count)
    data = [path.read_bytes() for path in found[::step][:count]] or [picture(seed) for seed in range(count)]
    return squares(data, side_px)


def dynamic(fp32: Path, target: Path) -> Path:
    """The graph in int8 with scales found at run time: what `export` does not make, for comparison."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(fp32), str(prepared), skip_symbolic_shape=True)
    model = onnx.load(prepared)
    del model.graph.value_info[:]  # the quantiser stumbles over the shapes of what it turns
    weights = {initializer.name for initializer in model.graph.initializer}
    kept = [node.name for node in model.graph.node if node.op_type == "MatMul" and not weights & set(node.input)]
    options = {"op_types_to_quantize": ["MatMul"], "per_channel": True, "weight_type": QuantType.QInt8, "nodes_to_exclude": kept}
    quantize_dynamic(model, str(target), **options)
    return target


def torch_run(threads: int) -> Run:
    """The image tower in torch, with scaled dot-product attention."""
    import torch

    torch.set_num_threads(threads)
    graph = torch_towers()[0]

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            return [part.numpy() for part in graph(torch.from_numpy(pixels))]

    return run


def session_run(graph: Path, threads: int) -> Run:
    """The image tower in onnxruntime."""
    session = open_session(graph, threads)
    return lambda pixels: session.run(None, {IMAGE_INPUT: pixels})  # type: ignore[no-any-return]


def vectors_of(run: Run, pixels: np.ndarray, batch: int) -> np.ndarray:
    """(N, K), from batches of that size."""
    return np.concatenate([run(pixels[start : start + batch])[0] for start in range(0, len(pixels), batch)])


def seconds_of(sides: Mapping[str, tuple[Run, int]], pixels: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Seconds by side and round, one side after the other in each; a first round is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for run, batch in sides.values():
        run(pixels[:batch])
    for _ in range(rounds):
        for name, (run, batch) in sides.items():
            started = time.perf_counter()
            vectors_of(run, pixels, batch)
            spent[name].append(time.perf_counter() - started)
    return spent


def differing(run: Run, pixels: np.ndarray) -> int:
    """Pictures whose vector or score is not the same bit for bit alone and in batches of 2 to 8."""
    alone = [run(pixels[row : row + 1]) for row in range(len(pixels))]
    wrong = set()
    for size in range(2, BATCH + 1):
        for start in range(0, len(pixels) - size + 1, size):
            together = run(pixels[start : start + size])
            for row in range(size):
                same = all(a[row].tobytes() == b[0].tobytes() for a, b in zip(together, alone[start + row], strict=True))
                wrong |= set() if same else {start + row}
    return len(wrong)


def precisions(cache: Path, photos: Path, count: int, rounds: int, threads: int) -> None:
    """The table of precisions."""
    pixels = normalise(pictures(photos, count, SIDE_PX))
    fp32, int8 = (kept_vit_bundle(cache, precision) / IMAGE_GRAPH for precision in ("fp32", "int8"))
    with tempfile.TemporaryDirectory() as folder:
        graphs = {"fp32": fp32, "int8, static": int8, "int8, scales at run time": dynamic(fp32, Path(folder) / "dynamic.onnx")}
        runs = {name: session_run(graph, threads) for name, graph in graphs.items()}
    sides = {"torch, sdpa, batches of 8": (torch_run(threads), BATCH)}
    sides |= {f"onnxruntime {name}, batches of {batch}": (run, batch) for name, run in runs.items() for batch in (1, BATCH)}
    spent = seconds_of(sides, pixels, rounds)
    (first, *_), wanted = spent.values(), vectors_of(*_first(sides, pixels))
    print(f"\nViT-B/16 at {SIDE_PX} px, {count} photos, {threads} threads, median of {rounds} rounds; wanted: int8 at a ratio of"
          f" {WANTED['ratio']} and a cosine of {WANTED['cosine']}\n")  # fmt: skip
    print("| | pictures/s | ratio to torch | cosine to torch, mean and lowest | change with their batch |\n|---|---|---|---|---|")
    for name, (run, batch) in sides.items():
        ratio = statistics.median(a / b for a, b in zip(first, spent[name], strict=True))
        cosine = (vectors_of(run, pixels, batch) * wanted).sum(axis=1)
        bits = f"{differing(run, pixels[:16])} of 16" if batch == BATCH and name.startswith("onnx") else ""
        print(f"| {name} | {count / statistics.median(spent[name]):.1f} | {ratio:.2f} | {cosine.mean():.5f}, {cosine.min():.5f} | {bits} |")


def _first(sides: Mapping[str, tuple[Run, int]], pixels: np.ndarray) -> tuple[Run, np.ndarray, int]:
    run, batch = next(iter(sides.values()))
    return run, pixels, batch


def bare(session: Any, rows: np.ndarray, batch: int) -> float:
    """Seconds for all squares through the session alone, in batches of that size."""
    started = time.perf_counter()
    for start in range(0, len(rows), batch):
        session.run(None, {IMAGE_INPUT: normalise(rows[start : start + batch])})
    return time.perf_counter() - started


async def queued(inference: Any, rows: np.ndarray) -> float:
    """Seconds for all squares, asked by NUM_CALLERS callers, each waiting for its answer before it asks again."""
    started = time.perf_counter()

    async def caller(mine: Sequence[np.ndarray]) -> None:
        for square in mine:
            await inference.embed_square(square)

    await asyncio.gather(*(caller(rows[place::NUM_CALLERS]) for place in range(NUM_CALLERS)))
    return time.perf_counter() - started


async def throughput(name: str, folder: Path, photos: Path, count: int, rounds: int) -> None:
    """A row of the table of throughputs."""
    cfg = bind(InferenceConfig, "inference", read_params()["serve"])
    rows = pictures(photos, min(count, 256), Serving.read(folder).image_px)
    rows = np.resize(rows, (count, *rows.shape[1:]))
    with tempfile.TemporaryDirectory() as state:
        inference = await open_inference(cfg, folder, Path(state))
    session = open_session(folder / IMAGE_GRAPH, num_cores())
    spent: dict[str, list[float]] = {"queued": [], **{str(batch): [] for batch in (1, BATCH)}}
    for number in range(rounds + 1):
        found = {"queued": await queued(inference, rows), **{str(batch): bare(session, rows, batch) for batch in (1, BATCH)}}
        for side, seconds in found.items():
            spent[side] += [seconds] if number else []
    status = inference.status()
    await inference.close()
    best = min((str(batch) for batch in (1, BATCH)), key=lambda side: statistics.median(spent[side]))
    shares = [a / b for a, b in zip(spent[best], spent["queued"], strict=True)]
    rates = [count / statistics.median(spent[side]) for side in ("queued", best)]
    print(f"| {name} | {rates[0]:.1f} | {rates[1]:.1f}, batches of {best} | {statistics.median(shares):.2f}"
          f" ({min(shares):.2f} to {max(shares):.2f}) | {status.setting} |")  # fmt: skip


async def throughputs(chosen: argparse.Namespace) -> None:
    """The table of throughputs."""
    print(f"\n{NUM_CALLERS} callers at once against the bare session on all cores, same squares, median of {chosen.rounds} rounds\n")
    print("| model | pictures/s, queued | pictures/s, bare | share of bare | measured on start |\n|---|---|---|---|---|")
    for precision in ("fp32", "int8"):
        folder = kept_vit_bundle(chosen.cache, precision)
        await throughput(f"ViT-B/16, {precision}", folder, chosen.photos, chosen.queued, chosen.rounds)
    if chosen.bundle:
        await throughput(str(chosen.bundle.name), chosen.bundle, chosen.photos, 40 * chosen.queued, chosen.rounds)


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"), help="folder of JPEGs; drawn ones where it has none")
    parser.add_argument("--bundle", type=Path, help="another bundle whose queue is measured")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "vitrine-bench", help="keeps the ViT's bundles: 0.5 GB")
    parser.add_argument("--count", type=int, default=32, help="photos of the table of precisions")
    parser.add_argument("--queued", type=int, default=128, help="squares asked for in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=num_cores())
    parser.add_argument("--table", choices=["precisions", "queue"], help="one of the two tables")
    chosen = parser.parse_args()
    if chosen.table != "queue":
        precisions(chosen.cache, chosen.photos, chosen.count, chosen.rounds, chosen.threads)
    if chosen.table != "precisions":
        asyncio.run(throughputs(chosen))


if __name__ == "__main__":
    main()
