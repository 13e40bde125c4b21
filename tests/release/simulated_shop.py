"""A shop without a gateway: it goes by the channel record in a registry and logs what its users do, tick by tick, on a clock of its own."""

import datetime as dt
import itertools
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.contract import bind, read_params
from components.objects import FolderStore, ObjectStore
from components.release.changes import Desk
from components.release.channel import PLATFORMS, Channel, arm_of
from components.release.component import Controller, Looked
from components.release.config import ReleaseConfig
from components.release.counts import Counter
from components.release.gateways import Applied
from components.release.notices import Notice
from components.release.people import Person
from components.release.registry import Registry
from tests.conftest import PROJECT, merge
from tests.release import canary_log

OLD, NEW, NEWER = "a" * 64, "c" * 64, "e" * 64
TICK = dt.timedelta(seconds=10)
# Rungs and margins that a few hundred users decide: their pages are tapped every other time, and each sees two a tick.
SMALL: Mapping[str, Any] = {
    "shadow": {"share": 1.0, "min_compared": 300},
    "ladder": {"rungs": [20, 50, 100], "min_s": 5.0, "min_users": 10, "soak_users": 50},
    "judge": {
        "metrics": {
            "error_share": {"margin": 0.2},
            "slow_share": {"margin": 0.2},
            "empty_share": {"margin": 0.2},
            "score_shift": {"margin": 0.3},
            "seller_share": {"margin": 0.3},
            "tap_rate": {"margin": 0.4},
            "purchase_rate": {"margin": 0.9},
        },
        "success_from_percent": 50,
        "rungs": [{"weight_percent": 20, "horizon_users": 150}, {"weight_percent": 50, "horizon_users": 600}],
        "budget": {"pass_share": 0.1, "fail_share": 0.1, "mismatch_share": 0.01},
        "min_users": 10,
        "growth": 1.2,
        "prior_users": 2.0,
    },
    "counting": {"min_baseline_answers": 50, "readers": 1},
}


def config(changes: Mapping[str, Any] | None = None) -> ReleaseConfig:
    """`release:` of params.yaml with the small ladder."""
    release = read_params(PROJECT / "params.yaml")["release"]
    merge(release, dict(SMALL))
    merge(release, dict(changes or {}))
    return bind(ReleaseConfig, "release", {"release": release})


Until = Callable[[Looked], bool]


class Shop:
    """Users of three platforms; `tap_rate(release_id, platform)` and `error_rate` are what a release does to them."""

    def __init__(self, folder: Path, changes: Mapping[str, Any] | None = None, *, store: ObjectStore | None = None, num_users: int = 1500):
        self.cfg, self.store, self.log = config(changes), store or FolderStore(folder / "registry"), FolderStore(folder / "store")
        self.registry = Registry(self.store)
        self.at, self.numbers = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC), itertools.count()
        self.users = [(PLATFORMS[n % 3], f"u-{n}") for n in range(num_users)]
        self.rng = random.Random(5)
        self.tap_rate: Callable[[str, str], float] = lambda release_id, platform: 0.5
        self.error_rate: Callable[[str, str], float] = lambda release_id, platform: 0.0
        self.shadow_errors = 0.0
        self.told: list[Notice] = []
        self.gateways: list[Applied] = []
        self.looks: list[Looked] = []

    def now(self) -> dt.datetime:
        return self.at

    def record(self) -> Channel:
        return Registry(FolderStore(self.store.root)).channel()[0] if isinstance(self.store, FolderStore) else self.registry.channel()[0]

    def person(self) -> Person:
        return Person(Desk(self.registry), [self.told.append], "someone", self.now)

    def controller(self, release_id: str = NEW, **more: Any) -> Controller:
        desk, counter = Desk(self.registry), Counter(self.log, self.cfg.counting)
        return Controller(
            release_id, desk, counter, self.cfg, senders=[self.told.append], ask=lambda urls, timeout_s: self.gateways, now=self.now, **more
        )

    def start(self, release_id: str = NEW) -> None:
        """OLD is stable, and the release is in its shadow."""
        self.person().start(OLD, "first", self.cfg)
        self.person().start(release_id, "it is better", self.cfg)

    def tick(self, at: dt.datetime | None = None) -> None:
        """Ten seconds, or the time until `at`, in which every fifth user sees two pages."""
        self.at = at or self.at + TICK
        record = self.registry.channel()[0]
        if record.candidate is None:
            return
        rows: dict[str, list[Any]] = {"answers": [], "impressions": [], "clicks": []}
        for platform, user in self.rng.sample(self.users, len(self.users) // 5):
            for _ in range(2):
                self._visit(record, platform, user, rows)
        for name, some in rows.items():
            if some:
                canary_log.write(self.log, name, some, self.at)

    def _visit(self, record: Channel, platform: str, user: str, rows: dict[str, list[Any]]) -> None:
        assert record.candidate is not None
        new, request_id = record.candidate.release_id, f"r-{next(self.numbers)}"
        arm = arm_of(record, platform, user)  # type: ignore[arg-type]
        weight = record.candidate.lanes[platform].weight_percent  # type: ignore[index]
        release_id = record.stable if arm == "stable" else new
        failed = self.rng.random() < self.error_rate(str(release_id), platform)
        about = {"platform": platform, "user_id": user, "candidate_id": new, "release_id": release_id, "weight_percent": weight}
        about |= {"ts": self.at, "revision": record.revision, "latency_ms": self.rng.uniform(10, 30)}
        said = {"hit_scores": [round(self.rng.uniform(0.3, 0.7), 2) for _ in range(4)]}
        failure = {"status": 500, "num_hits": 0, "num_sellers": 0, "hit_scores": []} if failed else {}
        rows["answers"].append(canary_log.answer(request_id, user, arm) | about | said | failure)
        if weight == 0:
            status = 500 if self.rng.random() < self.shadow_errors else 200
            compared = {"overlap": 0.7, "score_shift": 0.0} if status == 200 else {"num_hits": 0, "num_sellers": 0, "hit_scores": []}
            shadow = {"arm": "shadow", "release_id": new, "status": status} | compared
            rows["answers"].append(canary_log.answer(request_id, user, "shadow") | about | said | shadow)
        if not failed:
            rows["impressions"].append(canary_log.shown(request_id, "i-1", ts=self.at))
            for action, rate in (("click", self.tap_rate(str(release_id), platform)), ("purchase", 0.2)):
                if self.rng.random() < rate:
                    rows["clicks"].append(canary_log.act(request_id, "i-1", action=action) | {"ts": self.at})

    def climb(self, controller: Controller | None = None, max_ticks: int = 60, until: Until = lambda look: False) -> Looked:
        """Ticks and looks until it has ended, or `until` a look is what is waited for."""
        controller = controller or self.controller()
        for _ in range(max_ticks):
            self.tick()
            look = controller.step()
            self.looks.append(look)
            if look.ended or until(look):
                controller.quiet()
                return look
        raise AssertionError(f"not ended after {max_ticks} ticks: {[(move.group, move.kind, move.reason) for move in look.moves]}")
