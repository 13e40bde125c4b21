"""`python -m tests.mixed_load --finished WORKSPACE`: a mixed load above capacity on a real `vitrine serve`, with a release switch early in
it, and kill -9 at its end; then everything that was acknowledged must be there.

First measures capacity in a closed loop, then sends `--factor` times as much in an open loop for `--minutes`. The mix is that of
tests/mixed_asks.py; tests/mixed_judge.py says what an answer may be. Prints Markdown for docs/benchmarks.md; leaves with status 1 where
something was found.
"""

import argparse
import itertools
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import releases
from tests.load import Ask, Load, Tally, poisson, run
from tests.mixed_asks import EVENTS_BESIDE, SHARES, Mix, catalogue_photos, served_items
from tests.mixed_judge import Judge, Release
from tests.mixed_promises import wanting_listings, wanting_rows
from tests.serve.rival import rival_of
from tests.served import Memory, Server, load_of_machine, make_shop, serving

CLOSED_CONNECTIONS, OPEN_CONNECTIONS = 64, 400
CAPACITY_S = 20.0
SWITCH_AT = 0.1  # of the run: within the warm-up, so that the two windows that memory is compared over both hold two releases
KILL_BEFORE_END_S = 2.0
RETRY_S = 2.0
MAX_GROWTH = 0.10
# Vectors of another width agree less than those of two models would: this run is about switching, the gate has its own tests.
LENIENT = {"index": {"gate": {"min_overlap_at_10": 0.0, "min_recall_at_10": 0.0, "max_latency_ratio": 1000.0, "max_p95_ms": 10000.0}}}


@dataclass
class Run:
    """One run, and what it found."""

    server: Server
    judge: Judge
    second: str
    seconds: float
    log: Callable[[str], None]
    capacity_per_s: float = 0.0
    tally: Tally = field(default_factory=Tally)
    load_s: float = 0.0

    def measure_capacity(self, mix: Mix, seconds: float) -> None:
        """Answers a second, but for 429, with each connection busy."""

        async def drive() -> Tally:
            async with Load("127.0.0.1", self.server.port, CLOSED_CONNECTIONS, self.judge) as load:
                await load.closed_loop(iter(mix), seconds / 4)
                return await load.closed_loop(iter(mix), seconds)

        tally = run(drive())
        statuses = tally.statuses()
        self.capacity_per_s = (statuses.total() - statuses[429]) / tally.seconds
        self.log(f"capacity {self.capacity_per_s:.0f}/s: {dict(statuses)}, median {tally.quantile_ms(0.5):.0f} ms")

    def overload(self, mix: Mix, per_s: float) -> None:
        """The open loop, with the switch in its warm-up and the kill at its end."""

        async def drive() -> Tally:
            async with Load("127.0.0.1", self.server.port, OPEN_CONNECTIONS, self.judge) as load:
                timers = [threading.Timer(self.seconds * SWITCH_AT, self.switch_release, [mix]), threading.Timer(self.seconds, self.kill)]
                for timer in timers:
                    timer.daemon = True
                    timer.start()
                return await load.open_loop(self._said(iter(mix)), poisson(per_s, self.seconds + KILL_BEFORE_END_S, seed=7), patience_s=1.0)

        self.tally = run(drive())

    def _said(self, asks: Iterator[Ask]) -> Iterator[Ask]:
        for number in itertools.count(1):
            if number % 10_000 == 0:
                own, children = self.server.rss_mib() if self.server.process.poll() is None else (0.0, 0.0)
                self.log(f"{number} sent, {own:.0f} + {children:.0f} MiB, {self.judge.num_faults} faults, {load_of_machine()}")
            yield next(asks)

    def switch_release(self, mix: Mix) -> None:
        """Loads the second release beside the first, and has it answer."""
        began = time.perf_counter()
        if self._insisted("/v1/releases", {"release_id": self.second}):
            self.load_s = time.perf_counter() - began
            mix.named[:] = list(self.judge.releases)
            self.judge.switch.asked_s = time.perf_counter()
            if self._insisted(f"/v1/releases/{self.second}/activate"):
                self.judge.switch.done_s = time.perf_counter()
                self.log(f"the second release answers; loading took {self.load_s:.1f} s")

    def _insisted(self, path: str, body: Any = None) -> bool:
        """Asks until the gateway, which may be too busy, does it; False where it was killed first."""
        while time.perf_counter() < self.judge.killed_s:
            try:
                self.server.post(path, body)
            except urllib.error.HTTPError as error:
                self.log(f"{path} is refused: {error.read()[:300]!r}")
                time.sleep(RETRY_S)
            except OSError as error:
                self.log(f"{path} is not answered: {error}")
            else:
                return True
        return False

    def kill(self) -> None:
        """kill -9 in the middle of the load."""
        self.judge.killed_s = time.perf_counter() - 0.5  # what was lost in the moment before is lost to the kill
        self.server.kill()
        self.log("killed")


def growth(memory: Memory, seconds: float) -> tuple[float, float, float]:
    """MiB after the warm-up (the third tenth of the run), at its end (the last tenth), and their ratio less one."""
    early, late = sum(memory.mean(seconds * 0.2, seconds * 0.3)), sum(memory.mean(seconds * 0.9, seconds))
    return early, late, late / early - 1


def report(found: Run, memory: Memory, lost: Sequence[str], wanting: Sequence[str], factor: float, restart_s: float, busy: str) -> bool:
    """Markdown, and whether all is well."""
    judge, tally = found.judge, found.tally
    early, late, grown = growth(memory, found.seconds)
    per_s = sum(tally.statuses().values()) / found.seconds
    shares = ", ".join(f"{name} {share:.0%}" for name, share in SHARES.items())
    capacity = f"capacity {found.capacity_per_s:.0f}/s ({CLOSED_CONNECTIONS} connections, closed loop)"
    print(f"\n{found.seconds / 60:g} minutes, {shares}, and events beside ({EVENTS_BESIDE:.0%});")
    print(f"{capacity}, then {factor}x that at random times; {busy}.\n")
    print("| | measured | wanted |\n|---|---|---|")
    print(f"| answers, a second | {sum(tally.statuses().values()):,}, {per_s:.0f} | |")
    print(f"| crashes, 5xx, refusals without a reason, wrong-release answers, lost connections | {judge.num_faults} | 0 |")
    print(f"| cosines compared with the release's own vectors | {judge.num_cosines:,} | |")
    print(f"| acknowledged upserts that are gone or older after kill -9 and restart | {len(lost)} of {len(judge.stored):,} listings | 0 |")
    rows = len(judge.events) + len(judge.acknowledged)
    print(f"| acknowledged events that are not in the partitions just once, upserts that are not there | {len(wanting)} of {rows:,} | 0 |")
    print(f"| memory, gateway and workers, third tenth and last tenth of the run | {early:.0f} and {late:.0f} MiB: {grown:+.1%} | 10 % |")
    print(f"| loading the second release under this load, its switch | {found.load_s:.1f} s, "
          f"{(judge.switch.done_s - judge.switch.asked_s) * 1000:.0f} ms | |")  # fmt: skip
    print(f"| ready again after kill -9 | {restart_s:.1f} s | |")
    print(f"| latency of 2xx from when due, median, p99 | {tally.quantile_ms(0.5):.0f} ms, {tally.quantile_ms(0.99):.0f} ms | |")
    print("\n| kind | status | code | answers | share of the kind |\n|---|---|---|---|---|")
    totals = Counter({kind: sum(n for (of, _, _), n in judge.codes.items() if of == kind) for kind, _, _ in judge.codes})
    for (kind, status, code), count in sorted(judge.codes.items()):
        print(f"| {kind} | {status or 'connection lost'} | {code} | {count:,} | {count / totals[kind]:.1%} |")
    print("\n| minute | gateway MiB | workers MiB |\n|---|---|---|")
    for minute in range(int(found.seconds // 60)):
        own, children = memory.mean(60 * minute, 60 * minute + 60)
        print(f"| {minute + 1} | {own:.0f} | {children:.0f} |")
    for fault in [*judge.faults, *lost[:20], *wanting[:20]]:
        print(f"\n- {fault}")
    return not (judge.faults or lost or wanting or grown > MAX_GROWTH)


def main() -> None:
    """The whole run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=Path, default=Path(), help="a workspace after `make demo`")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--factor", type=float, default=1.5, help="times the measured capacity")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    busy = load_of_machine()
    with tempfile.TemporaryDirectory(prefix="vitrine-mixed-") as scratch:
        sound = measured(chosen, Path(scratch), busy)
    sys.exit(0 if sound else 1)


def measured(chosen: argparse.Namespace, scratch: Path, busy: str) -> bool:
    """Whether the run found nothing."""
    shop, rival = make_shop(scratch / "shop", chosen.finished, LENIENT), rival_of(chosen.finished, scratch / "rival", dim=48)
    first, second = (releases.keep(folder / "bundle", shop / releases.RELEASES) for folder in (chosen.finished, rival))
    known = {first: Release.read(first, chosen.finished / "bundle"), second: Release.read(second, rival / "bundle")}
    mix = Mix(served_items(chosen.finished / "data/listings"), catalogue_photos(chosen.finished / "data/images"), chosen.seed)
    judge = Judge(known, first, mix)

    def log(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    with serving(shop) as server:
        found = Run(server, judge, second, chosen.minutes * 60, log)
        found.measure_capacity(mix, CAPACITY_S)
        with Memory(server) as memory:
            found.overload(mix, chosen.factor * found.capacity_per_s)
        began = time.perf_counter()
        server.start()
        restart_s = time.perf_counter() - began
        if judge.switch.done_s == float("inf"):
            judge.faults.append("the second release did not come to answer before the end")
        elif (active := server.get("/v1/releases")["active"]) != second:
            judge.faults.append(f"after the restart {active[:12]} answers, not the release that was switched to")
        lost, wanting = wanting_listings(server, judge), wanting_rows(server, judge)
    return report(found, memory, lost, wanting, chosen.factor, restart_s, busy)


if __name__ == "__main__":
    main()
