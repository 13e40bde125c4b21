"""100 times `kill -9` of the release flow, the gateway or both, while releases climb and fall: `python -m tests.chaos_release`.

One release after the other, every third of them bad, before a live gateway with users. Afterwards it must be so: the good ones were
promoted and the bad ones rolled back; the record was never invalid; no user left a canary while the record had them in it; no event that
was acknowledged is lost or doubled; and every verdict follows from the files.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from components.contract import read_params
from components.errors import BadState
from flows.server import SETTINGS, serving
from tests.conftest import environment, make_workspace, run
from tests.release.live_shop import Live, kill, until
from tests.serve.canary_shop import merge_into

TARGETS = ("controller", "gateway", "both")
START = (str(Path(sys.executable).with_name("vitrine")), "release", "start")
LIMIT_S = 300.0
# A rung takes a while, so that kills fall into it and not between two releases.
SLOW = {"ladder": {"min_s": 4.0}}


@dataclass
class Series:
    """What was killed, how each release ended, and how long the two took to be back."""

    shop: Live
    rng: random.Random
    num_kills: int
    kills: Counter[str] = field(default_factory=Counter)
    by_weight: Counter[str] = field(default_factory=Counter)
    endings: dict[str, str] = field(default_factory=dict)
    back_s: list[float] = field(default_factory=list)
    ladders_s: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Releases one after the other, until all kills are struck and the last of them has ended."""
        number = 0
        while self.kills.total() < self.num_kills:
            number += 1
            is_bad = number % 3 == 0
            release_id = self.shop.start(f"release-{number}", is_bad=is_bad)
            began_s = time.monotonic()
            self._climb(release_id)
            self.ladders_s.append(time.monotonic() - began_s)
            self.endings[release_id] = str(self.shop.ended(release_id))
            say(f"release {number}, {'bad' if is_bad else 'good'}: {self.endings[release_id]} after {self.kills.total()} kills in all")

    def _climb(self, release_id: str) -> None:
        shop = self.shop
        shop.open_controller(*START)
        end_s = time.monotonic() + LIMIT_S
        while not shop.ended(release_id):
            assert time.monotonic() < end_s, shop.said("controller.log")
            if self.kills.total() < self.num_kills:
                time.sleep(self.rng.uniform(0.0, 6.0))  # a flow takes 3 s or so until its first look
                if not shop.ended(release_id):
                    self._strike()
            elif shop.controller is not None and shop.controller.poll() is not None:
                shop.open_controller(*START)
            time.sleep(0.05)
        if shop.controller is not None:
            until(lambda: shop.controller is None or shop.controller.poll() is not None, 60, lambda: shop.said("controller.log"))

    def _strike(self) -> None:
        target, shop = self.rng.choice(TARGETS), self.shop
        candidate = shop.record().candidate
        where = "shadow" if candidate is None else f"{candidate.lanes['web'].weight_percent:3d} %"
        struck_s = time.monotonic()
        if target != "gateway":
            kill(shop.controller)
        if target != "controller":
            kill(shop.gateway)
            shop.open_gateway()
            self.back_s.append(time.monotonic() - struck_s)
        if shop.controller is None or shop.controller.poll() is not None:
            shop.open_controller(*START)
        self.kills[target] += 1
        self.by_weight[where] += 1


def say(line: str) -> None:
    """To the terminal, at once."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def faults(series: Series, lost: set[str], twice: int, left: Sequence[str]) -> list[str]:
    """What is not as it must be."""
    shop = series.shop
    wrong = [
        f"release {one[:12]} was {how}, and is {'bad' if one in shop.bad else 'good'}"
        for one, how in series.endings.items()
        if how != ("rolled back" if one in shop.bad else "promoted")
    ]
    underived = [f"release {one[:12]}: {problem}" for one in series.endings for problem in shop.explained(one)]
    events = [f"{len(lost)} acknowledged events are lost", f"{twice} events are there twice"]
    return wrong + underived + [f"left the canary: {one}" for one in left] + [one for one in events if not one.startswith("0 ")]


def main() -> int:
    """0 where all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workspace", type=Path, help="a finished workspace; one with the small market is made otherwise")
    asked = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-release-") as scratch, ExitStack() as stack:
        base = Path(scratch)
        workspace = asked.workspace or made(base / "workspace")
        shop = Live.of(workspace.resolve(), base / "shop")
        params = read_params(shop.folder / "params.yaml")
        merge_into(params["release"], SLOW)
        (shop.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        own = environment() | {"PREFECT_HOME": str(base / "prefect"), **SETTINGS}
        shop.environment = own | {"PREFECT_API_URL": stack.enter_context(serving(own)), "NO_PROXY": "127.0.0.1"}
        stack.callback(shop.close)
        shop.open_gateway()
        series = Series(shop, random.Random(asked.seed), asked.kills)
        try:
            with shop.watched(), shop.traffic(num_at_once=4) as traffic:
                series.run()
        except (AssertionError, BadState) as error:
            say(f"FAILED: {error}")
            return 1
        shop.close()
        kept = shop.kept_events()
        lost = traffic.acknowledged - {event_id.split("/")[0] for event_id in kept}
        wrong = faults(series, lost, len(kept) - len(set(kept)), shop.left_the_canary(traffic))
        report(series, len(traffic.acknowledged), len(traffic.answered), time.monotonic() - began_s, wrong)
        return 1 if wrong else 0


def made(folder: Path) -> Path:
    """A workspace after the whole line."""
    say("the line makes a bundle of the small market")
    make_workspace(folder)
    run(folder, "dvc", "repro", timeout_s=1200)
    return folder


def report(series: Series, num_events: int, num_users: int, seconds: float, wrong: Sequence[str]) -> None:
    """As Markdown."""
    ended = Counter(series.endings.values())
    rows = [
        ("kills", ", ".join(f"{name} {count}" for name, count in sorted(series.kills.items()))),
        ("they fell at", ", ".join(f"{where.strip()}: {count}" for where, count in sorted(series.by_weight.items()))),
        ("releases", ", ".join(f"{count} {how}" for how, count in sorted(ended.items())) + f", {len(series.shop.bad)} of them bad"),
        ("a ladder, at most", f"{max(series.ladders_s):.0f} s"),
        ("gateway ready again", f"{sorted(series.back_s)[len(series.back_s) // 2]:.1f} s, at most {max(series.back_s):.1f} s"),
        ("records seen", f"{len(series.shop.history):,}, none invalid"),
        ("acknowledged events", f"{num_events:,}, of {num_users:,} users"),
        ("took", f"{seconds / 60:.1f} min on {os.cpu_count()} cores"),
        ("wrong", "; ".join(wrong) or "nothing"),
    ]
    print("\n".join(["", "| what | found |", "|---|---|", *(f"| {name} | {found} |" for name, found in rows)]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
