"""`python -m tests.bench_gateway WHAT`: what `vitrine serve` can take; WHAT is `items` or `pictures`.

`items`: GET /v1/similar?item_id= over a large made-up catalogue, against a route of the same server that does nothing, behind the same
layers. `pictures`: see tests/bench_picture_queries.py. Both sides in one run, in alternating rounds. Prints Markdown for
docs/benchmarks.md. Needs a finished workspace (`make demo`). See also tests/mixed_load.py and tests/fuzz_gateway.py.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.bench_picture_queries import bench_pictures
from tests.load import Ask, Load, Tally, poisson, run
from tests.served import Server, fill, load_of_machine, made_item, make_shop, serving
from tests.wire_bytes import request

K = 10
WARM_UP_S = 2.0
PEAK_SHARE = 0.5
WANTED = {"share": 0.6, "tail": 5.0}


SIMILAR, NO_SEARCH, NOTHING = "/v1/similar", "/v1/similar/no-search", "/v1/similar/no-op"


def asked(path: str, num_items: int, seed: int) -> Iterator[Ask]:
    """That route of an item drawn at random, again and again."""
    rng = np.random.default_rng(seed)
    while True:
        for number in rng.integers(num_items, size=1000).tolist():
            query = "" if path == NOTHING else f"?item_id={made_item(number).item_id}&k={K}"
            yield Ask(request("GET", path + query), path)


def checked(tally: Tally) -> Tally:
    """The tally, where every answer was a 200."""
    if set(tally.statuses()) != {200} or tally.unanswered:
        raise SystemExit(f"not every answer was a 200: {dict(tally.statuses())}, {tally.unanswered} unanswered")
    return tally


def alternating(server: Server, num_items: int, rounds: int, seconds: float, connections: int) -> dict[str, np.ndarray]:
    """Requests a second of each route by round, in turns of changing order."""
    sides = {path: asked(path, num_items, seed=1) for path in (NOTHING, NO_SEARCH, SIMILAR)}

    async def drive() -> dict[str, np.ndarray]:
        found: dict[str, list[float]] = {path: [] for path in sides}
        async with Load("127.0.0.1", server.port, connections) as load:
            for asks in sides.values():
                await load.closed_loop(asks, WARM_UP_S)
            for number in range(rounds):
                for path in list(sides)[:: -1 if number % 2 else 1]:
                    found[path].append(checked(await load.closed_loop(sides[path], seconds)).per_s)
        return {path: np.array(values) for path, values in found.items()}

    return run(drive())


def at_half_peak(server: Server, num_items: int, per_s: float, seconds: float, connections: int) -> Tally:
    """Similar items asked for at random times."""

    async def drive() -> Tally:
        async with Load("127.0.0.1", server.port, connections) as load:
            await load.open_loop(asked(SIMILAR, num_items, seed=2), poisson(per_s, WARM_UP_S, seed=0))
            return checked(await load.open_loop(asked(SIMILAR, num_items, seed=3), poisson(per_s, seconds, seed=1)))

    return run(drive())


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def bench_items(chosen: argparse.Namespace, finished: Path, folder: Path) -> None:
    """The table of one catalogue."""
    shop = make_shop(folder, finished, bundle=chosen.bundle)
    asyncio.run(fill(shop, chosen.items))
    with serving(shop, module="tests.serve.no_op") as server:
        busy = load_of_machine()
        per_s = alternating(server, chosen.items, chosen.rounds, chosen.seconds, chosen.connections)
        half = PEAK_SHARE * float(np.median(per_s[SIMILAR]))
        tallies = [at_half_peak(server, chosen.items, half, chosen.tail_seconds, chosen.connections) for _ in range(3)]
        dim = len(server.post("/v1/embed", {"inputs": [{"text": "mug"}]})["results"][0]["vector"])
    tails = [tally.quantile_ms(0.99) / tally.quantile_ms(0.5) for tally in tallies]
    print(f"\n{chosen.items:,} items x {dim} values, k = {K}, {chosen.connections} connections, {chosen.rounds} alternating rounds of"
          f" {chosen.seconds:g} s, {busy} before\n")  # fmt: skip
    print("| | measured, median (range) | wanted |\n|---|---|---|")
    for path, words in ((NOTHING, "a route that does nothing"), (NO_SEARCH, "one that looks for nothing"), (SIMILAR, "similar items")):
        print(f"| requests/s, {words} | {spread(per_s[path].tolist(), 0)} | |")
    print(f"| share of the route that does nothing | {spread((per_s[SIMILAR] / per_s[NOTHING]).tolist())} | {WANTED['share']} |")
    print(f"| share of the one that reads the same query and writes as much | {spread((per_s[SIMILAR] / per_s[NO_SEARCH]).tolist())} | |")
    print(f"| median latency at half of peak ({half:,.0f}/s, Poisson, from when each was due) | "
          f"{spread([tally.quantile_ms(0.5) for tally in tallies])} ms | |")  # fmt: skip
    print(f"| p99 there | {spread([tally.quantile_ms(0.99) for tally in tallies])} ms | |")
    print(f"| p99 / median | {spread(tails)} | {WANTED['tail']:.0f} |")


def main() -> None:
    """One of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["items", "pictures"])
    parser.add_argument("--finished", type=Path, default=Path(), help="a workspace after `make demo`")
    parser.add_argument("--bundle", type=Path, default=None, help="another bundle than that workspace's")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one side in one round")
    parser.add_argument("--tail-seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"), help="real photos; without them drawn ones")
    parser.add_argument("--pictures", type=int, default=256, help="of one side in one round")
    parser.add_argument("--clients", type=int, default=64, help="who send pictures at once")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as scratch:
        {"items": bench_items, "pictures": bench_pictures}[chosen.what](chosen, chosen.finished, Path(scratch) / "shop")


if __name__ == "__main__":
    main()
