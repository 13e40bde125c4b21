"""Picture in, neighbours out, against the sum of what cannot be saved: `images.to_square` of the same pictures in as many processes as
there are cores, and the bare onnxruntime session at its best setting. Run by `python -m tests.bench_gateway pictures`."""

import asyncio
import base64
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.images import normalise, to_square
from components.photos import num_cores
from components.towers import IMAGE_GRAPH, Serving, open_session
from tests.bench_decode import collages
from tests.load import Ask, Load, Tally, run
from tests.picture_files import segment, with_segments
from tests.served import Server, fill, load_of_machine, make_shop, serving
from tests.vit_bundle import picture
from tests.wire_bytes import request, upload

BATCHES = (1, 2, 4, 8, 16)
TRY_S = 3.0
MADE_SIDES_PX = (512, 640, 768, 896, 1024, 1200)
COMMENT = 0xFE
WANTED = 0.8


def base_pictures(photos: Path) -> list[bytes]:
    """Sixty JPEGs of 512 to 1,200 px: collages of real photos, or coloured blots of those sizes where there are no photos."""
    if (photos / "listings.csv").exists():
        return list(collages(photos).values())
    return [picture(number, side) for number, side in enumerate(MADE_SIDES_PX * 10)]


def distinct(pictures: Sequence[bytes]) -> Iterator[bytes]:
    """The pictures over and over, each with a comment of its own, so that no two are the same file."""
    for number, data in zip(itertools.count(), itertools.cycle(pictures), strict=False):
        yield with_segments(data, segment(COMMENT, f"copy {number}".encode()))


@dataclass
class Bare:
    """The bare side: processes that decode, and a session of `threads` threads, asked by `at_once` callers in batches of `rows`."""

    pool: ProcessPoolExecutor
    session: Any
    side_px: int
    threads: int
    at_once: int
    rows: int

    def infer_s(self, squares: np.ndarray) -> float:
        """Seconds for all of them."""
        batches = [squares[start : start + self.rows] for start in range(0, len(squares), self.rows)]
        started = time.perf_counter()
        with ThreadPoolExecutor(self.at_once) as threads:
            list(threads.map(lambda batch: self.session.run(None, {"pixels": normalise(batch)}), batches))
        return time.perf_counter() - started

    def decoded(self, pictures: Sequence[bytes]) -> tuple[np.ndarray, float]:
        """Their squares, and seconds for them."""
        started = time.perf_counter()
        squares = list(self.pool.map(to_square, pictures, itertools.repeat(self.side_px), chunksize=4))
        return np.stack(squares), time.perf_counter() - started


def best_bare(bundle: Path, pool: ProcessPoolExecutor) -> Bare:
    """The quickest of: all cores on one batch, or a batch a core; batches of each size."""
    cores, side_px = num_cores(), Serving.read(bundle).image_px
    found = []
    for threads, at_once in {(cores, 1), (1, cores)}:
        session = open_session(bundle / IMAGE_GRAPH, threads)
        for rows in BATCHES:
            bare = Bare(pool, session, side_px, threads, at_once, rows)
            batches = np.zeros((rows * at_once, side_px, side_px, 3), np.uint8)
            spent, count, end = bare.infer_s(batches), 0, time.perf_counter() + TRY_S
            spent = 0.0
            while not count or time.perf_counter() < end:
                spent, count = spent + bare.infer_s(batches), count + len(batches)
            found.append((count / spent, threads, at_once, rows))
    _, threads, at_once, rows = max(found)
    return Bare(pool, open_session(bundle / IMAGE_GRAPH, threads), side_px, threads, at_once, rows)


def asks_of(pictures: Iterator[bytes], how: str) -> Iterator[Ask]:
    """Requests for the neighbours of each picture, as a form or in JSON."""
    for data in pictures:
        if how == "form":
            yield Ask(upload("POST", "/v1/similar/upload", data, {"k": "10"}), how)
        else:
            yield Ask(
                request("POST", "/v1/similar", json.dumps({"picture_base64": base64.b64encode(data).decode(), "k": 10}).encode()), how
            )


def served_per_s(server: Server, pictures: Sequence[bytes], how: str, clients: int) -> Tally:
    """So many clients, who send these pictures once."""
    asks = list(asks_of(iter(pictures), how))

    async def drive() -> Tally:
        async with Load("127.0.0.1", server.port, clients) as load:
            return await load.all_of(asks)

    tally = run(drive())
    if set(tally.statuses()) != {200} or tally.unanswered:
        raise SystemExit(f"not every answer was a 200: {dict(tally.statuses())}, {tally.unanswered} unanswered")
    return tally


def bench_pictures(chosen: Any, finished: Path, folder: Path) -> None:
    """The table of one bundle."""
    shop = make_shop(folder, finished, bundle=chosen.bundle)
    asyncio.run(fill(shop, chosen.items))
    source = distinct(base_pictures(chosen.photos))
    busy = load_of_machine()
    rows: list[dict[str, float]] = []
    latencies: dict[str, list[tuple[float, float]]] = {"form": [], "JSON": []}
    with ProcessPoolExecutor(num_cores()) as pool, serving(shop) as server:
        bare = best_bare(shop / "bundle", pool)
        bare.decoded(list(itertools.islice(source, 8)))
        served_per_s(server, list(itertools.islice(source, chosen.clients)), "form", chosen.clients)
        for number in range(chosen.rounds):
            row = {}
            for side in ("bare", "form", "JSON")[:: -1 if number % 2 else 1]:
                pictures = list(itertools.islice(source, chosen.pictures))
                if side == "bare":
                    squares, row["decode"] = bare.decoded(pictures)
                    row["session"] = bare.infer_s(squares)
                else:
                    tally = served_per_s(server, pictures, side, chosen.clients)
                    row[side] = tally.seconds
                    latencies[side].append((tally.quantile_ms(0.5), tally.quantile_ms(0.99)))
            rows.append(row)
    report(chosen, bare, busy, rows, latencies)


def report(chosen: Any, bare: Bare, busy: str, rows: Sequence[dict[str, float]], latencies: dict[str, list[tuple[float, float]]]) -> None:
    """The table."""
    from tests.bench_gateway import spread

    per_s = {name: [chosen.pictures / row[name] for row in rows] for name in rows[0]}
    floor = [row["decode"] + row["session"] for row in rows]
    print(f"\n{chosen.pictures} pictures a round, {len(rows)} alternating rounds, {chosen.clients} clients, {bare.side_px} px, {busy}."
          f" Bare session: {bare.threads} threads, {bare.at_once} batches at once, {bare.rows} rows each.\n")  # fmt: skip
    print("| | pictures/s, median (range) | share of decoding + session | wanted |\n|---|---|---|---|")
    print(f"| decoding alone, {num_cores()} processes | {spread(per_s['decode'], 1)} | | |")
    print(f"| bare session alone | {spread(per_s['session'], 1)} | | |")
    print(f"| decoding, then session | {spread([chosen.pictures / seconds for seconds in floor], 1)} | 1 | |")
    for side in ("form", "JSON"):
        shares = [seconds / row[side] for seconds, row in zip(floor, rows, strict=True)]
        print(f"| the gateway, pictures in a {side} | {spread(per_s[side], 1)} | {spread(shares)} | {WANTED} |")
    for side, found in latencies.items():
        median, tail = (float(np.median(column)) for column in zip(*found, strict=True))
        print(f"\nLatency with all {chosen.clients} clients waiting, {side}: median {median:,.0f} ms, p99 {tail:,.0f} ms.")
