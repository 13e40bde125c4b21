"""`python -m tests.bench_index`: the index call alone, against exact search by numpy, in one run. Prints Markdown for docs/benchmarks.md.

100,000 vectors in 4,000 clusters; the queries are other draws from the same clusters. One query at a time: `Generation.search` of the real
embedded backend, awaited in a loop; numpy multiplies one float32 matrix by one vector and takes argpartition. Both sides take turns, block
by block. `--postgres` measures pgvector on a server of its own too, which takes minutes to build its graph.
"""

import argparse
import asyncio
import contextlib
import ctypes
import gc
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.contract import bind, read_params
from components.neighbours import IndexConfig
from components.serve.index.generation import Generation, IndexStore
from components.serve.items import Filters, Placed
from tests.serve.index_stores import T0, Place, item

NUM_CLUSTERS, NUM_PARENTS, NOISE = 4000, 64, 1.2
K, BLOCK = 10, 50
PAGE = 1000
ALL = Filters()
FILTERED = {"10 %": Filters(category=("c3",)), "1 %": Filters(category=("c3", "s33"))}
WANTED = {"ratio": 30.0, "recall": 0.98, "build_cpu_s": 15.0}


def drawn(num: int, dim: int, seed: int) -> np.ndarray:
    """(num, dim) unit vectors of clusters that depend on dim alone."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(NUM_PARENTS, dim))[rng.integers(0, NUM_PARENTS, NUM_CLUSTERS)] + rng.normal(size=(NUM_CLUSTERS, dim))
    rng = np.random.default_rng(seed)
    vectors = np.empty((num, dim), np.float32)
    for start in range(0, num, PAGE):
        some = centres[rng.integers(0, NUM_CLUSTERS, PAGE)] + NOISE * rng.normal(size=(PAGE, dim))
        vectors[start : start + PAGE] = (some / np.linalg.norm(some, axis=1, keepdims=True))[: num - start]
    return vectors


def row(n: int, vector: np.ndarray) -> Placed:
    """A listing as shops have them; categories repeat after a hundred."""
    return Placed(
        item(
            f"m-{n:08d}",
            title=f"A title of forty characters for item {n}",
            category=(f"c{n % 10}", f"s{n % 100}"),
            price=float(n % 1000),
            image_id=f"{n:064x}",
            description="Two lines of description, as most sellers write them, with size, condition and shipping.",
            updated_at=T0,
            stats={"brightness": 0.5, "sharpness": 1.5, "contrast": 0.2, "text_share": 0.0},
        ),
        vector,
        n % 101 / 100,
    )


def cpu_s() -> float:
    """Seconds of CPU that this process has used, in all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_mib() -> float:
    """Resident, after what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Prints what the block took."""
    started, used, before = time.monotonic(), cpu_s(), memory_mib()
    yield
    print(f"| {what} | {time.monotonic() - started:.1f} | {cpu_s() - used:.1f} | {memory_mib() - before:+.0f} |", flush=True)


def exact(vectors: np.ndarray, query: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Rows of the K nearest, best first, by one product."""
    cosines = vectors @ query
    if mask is not None:
        cosines[~mask] = -2
    best = np.argpartition(-cosines, K)[:K]
    found: np.ndarray = best[np.argsort(-cosines[best])]
    return found


async def compare(name: str, generation: Generation, vectors: np.ndarray, queries: np.ndarray, filters: Filters = ALL) -> dict[str, float]:
    """Prints and returns queries a second of both sides, their ratio, and recall."""
    mask = None if filters == ALL else np.array([filters.admit(row(n, vectors[0]).item) for n in range(len(vectors))])
    ours, theirs, found, wanted = [], [], [], []
    for start in range(0, len(queries), BLOCK):
        for query in queries[start : start + BLOCK]:
            started = time.perf_counter()
            hits = await generation.search(query, K, filters, fingerprint="fp")
            ours.append(time.perf_counter() - started)
            found.append({hit.item.item_id for hit in hits})
        for query in queries[start : start + BLOCK]:
            started = time.perf_counter()
            best = exact(vectors, query, mask)
            theirs.append(time.perf_counter() - started)
            wanted.append({f"m-{n:08d}" for n in best})
    recall = float(np.mean([len(f & w) / K for f, w in zip(found, wanted, strict=True)]))
    figures = {"ratio": sum(theirs) / sum(ours), "recall": recall}
    print(
        f"| {name} | {len(ours) / sum(ours):,.0f} | {statistics.median(ours) * 1e3:.2f} | {np.percentile(ours, 95) * 1e3:.2f}"
        f" | {len(theirs) / sum(theirs):,.0f} | {figures['ratio']:.0f} | {recall:.3f} |",
        flush=True,
    )
    return figures


async def fill(store: IndexStore, vectors: np.ndarray) -> Generation:
    """A complete generation of the vectors."""
    await store.create("g", release_id="r", fingerprint="fp", dim=vectors.shape[1])
    for start in range(0, len(vectors), PAGE):
        await store.fill("g", [row(n, vectors[n]) for n in range(start, min(start + PAGE, len(vectors)))], fingerprint="fp")
    return await store.generation("g")


async def bench(backend: str, num_items: int, dim: int, num_queries: int, cfg: IndexConfig) -> None:
    """One backend at one width."""
    vectors, queries = drawn(num_items, dim, 1), drawn(num_queries, dim, 2)
    print(f"\n### {backend}, {num_items:,} x {dim}\n\n| step | seconds | CPU of this process (s) | memory (MiB) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place, used = Place(backend, Path(folder)), cpu_s()
        async with place.open(cfg) as store:
            with told("fill"):
                await fill(store, vectors)
            with told("finished"):
                await store.finished("g")
        built_s, before = cpu_s() - used, memory_mib()
        async with contextlib.AsyncExitStack() as stack:
            with told("open again"):
                store = await stack.enter_async_context(place.open(cfg))
                generation = await store.generation("g")
            in_memory, on_disk = (memory_mib() - before) * 2**20, disk_bytes(backend, Path(folder))
            print(f"\nCPU of fill and finished: {built_s:.1f} s.", end=" ")
            print(f"Bytes an item: {in_memory / num_items:,.0f} in memory, {on_disk / num_items:,.0f} on disk.")
            print("\n| query | queries/s | median (ms) | p95 (ms) | numpy queries/s | ratio | recall@10 |\n|---|---|---|---|---|---|---|")
            plain = await compare("all items", generation, vectors, queries)
            for share, filters in FILTERED.items():
                await compare(f"a filter that leaves {share}", generation, vectors, queries, filters)
            if backend == "embedded":
                await half_full(generation, vectors, queries)
                if dim == 768:
                    judged(plain, built_s)


def disk_bytes(backend: str, folder: Path) -> int:
    """What the generation takes on disk, indexes included."""
    if backend == "embedded":
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    import psycopg

    with psycopg.connect(os.environ["VITRINE_POSTGRES_DSN"]) as connection:
        (size,) = connection.execute("SELECT pg_total_relation_size('vitrine_items_1')").fetchone() or (0,)
        return int(size)


async def half_full(generation: Generation, vectors: np.ndarray, queries: np.ndarray) -> None:
    """With half as many changes beside the base as are compacted: items that are there already, written again."""
    changed = np.random.default_rng(3).choice(len(vectors), generation.held.cfg.compact_after // 2, replace=False)  # type: ignore[attr-defined]
    await generation.put([row(int(n), vectors[n]) for n in changed], fingerprint="fp")
    await compare(f"all items, {len(changed):,} of them changed since", generation, vectors, queries)
    await compare("the same, a filter that leaves 1 %", generation, vectors, queries, FILTERED["1 %"])


def judged(figures: dict[str, float], built_s: float) -> None:
    """Prints what is wanted beside what was found."""
    found = {**figures, "build_cpu_s": built_s}
    for name, wanted in WANTED.items():
        reached = found[name] <= wanted if name == "build_cpu_s" else found[name] >= wanted
        print(f"\n{name}: {found[name]:.3g}, wanted {wanted:g}: {'reached' if reached else 'NOT REACHED'}")


def one(dim: int, arguments: argparse.Namespace) -> None:
    """The tables of one width."""
    cfg = bind(IndexConfig, "index", read_params())
    if not arguments.postgres:
        asyncio.run(bench("embedded", arguments.items, dim, arguments.queries, cfg))
        return
    from tests.serve.postgres_server import serving

    with serving() as dsn:
        os.environ["VITRINE_POSTGRES_DSN"] = dsn
        asyncio.run(bench("postgres", arguments.items, dim, arguments.queries, cfg))


def main() -> None:
    """Every table that was asked for, each in a process of its own, so that one's memory is not another's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dims", type=int, nargs="+", default=[768, 128])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--postgres", action="store_true")
    arguments = parser.parse_args()
    for dim in arguments.dims:
        process = multiprocessing.get_context("spawn").Process(target=one, args=(dim, arguments))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
