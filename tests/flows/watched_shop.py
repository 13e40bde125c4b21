"""A workspace that `vitrine drift check` can work in: params, a bundle, a store with simulated days up to yesterday, and, where wanted, a
history of quiet days before them."""

import dataclasses
import datetime as dt
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from components.contract import bind, read_params
from components.objects import FolderStore
from flows.drift_check import look
from flows.drift_watch import SEED, Watch
from monitoring.config import MonitorConfig
from monitoring.history import History
from monitoring.judged import Judgement, Verdict
from monitoring.judging.past import Values
from monitoring.reference import reference_of
from monitoring.rehearsal.faults import fault_of
from monitoring.rehearsal.stream import Stream
from monitoring.rehearsal.writing import write_days
from monitoring.span import DAY, Span, day_of
from tests.conftest import PROJECT, merge
from tests.flows.conftest import VITRINE
from tests.monitoring.tiny_pool import faults, quiet, tiny_pool
from tests.monitoring.windows.tiny_bundle import write_bundle

NUM_DAYS = 6  # of the stream; the last of them is yesterday
NUM_PAST = 45
# Small, and every weekday like the others: the history is one day many times, and tests run on any day of the week.
CALM = {"rows_a_day": 1500, "pages_a_day": 100, "bursts_a_day": 0.0, "weekday": 0.0, "weekend_volume": 1.0}
SMALL = {
    "monitor": {"report": {"pictures": {"a_sheet": 2}}, "check": {"workspace": []}},
    "serve": {"store": "store"},
    "release": {"registry": "registry"},
}


class WatchedShop:
    """The folder, its store, and the commands that are run in it."""

    def __init__(self, folder: Path, environment: dict[str, str], fault: str | None = None) -> None:
        self.folder, self.environment = folder, environment
        params = read_params(PROJECT / "params.yaml")
        merge(params, SMALL)
        with open(folder / "params.yaml", "w") as file:
            YAML().dump(params, file)
        self.cfg = bind(MonitorConfig, "monitor", params)
        pool = tiny_pool()
        pool = dataclasses.replace(pool, release_id=write_bundle(folder / "bundle", pool))
        self.store, self.first = FolderStore(folder / "store"), dt.datetime.now(dt.UTC).date() - NUM_DAYS * dt.timedelta(days=1)
        year = quiet(start=self.first.isoformat(), **CALM)
        stream = Stream(pool, SEED, year, fault_of(fault, pool, SEED, faults()) if fault else None, NUM_DAYS - 1)
        write_days(self.store, stream, range(NUM_DAYS))

    @property
    def yesterday(self) -> Span:
        return day_of(self.first + (NUM_DAYS - 1) * dt.timedelta(days=1))

    def watch(self, **changes: Any) -> Watch:
        """The edge of a check, as the command opens it, with changes to its config."""
        cfg = self.cfg.model_copy(update=changes)
        folders = {"report": cfg.report.model_copy(update={"folder": str(self.folder / cfg.report.folder)})}
        routes = cfg.routes.model_copy(update={"textfile": str(self.folder / "metrics") if cfg.routes.textfile else None})
        cfg = cfg.model_copy(update=folders | ({} if "routes" in changes else {"routes": routes}))
        return Watch.of(cfg, self.store, reference_of(self.folder / "bundle", cfg, SEED), None)

    def remember_quiet_days(self, watch: Watch, until: Span) -> None:
        """A history that is as the day before `until` was, but for noise: measured once, since measuring it all would take minutes."""
        values = look(watch, day_of((until.start - DAY).date()))[1].values
        rng = np.random.default_rng(SEED)
        history = History(self.store)
        for number in range(NUM_PAST, 0, -1):
            span = day_of((until.start - number * DAY).date())
            noise = rng.normal(0, 0.03, values.value_LK.shape) * (0.05 + np.abs(values.value_LK))
            history.add(Values(span, values.release_id, values.keys, (values.value_LK + noise).astype(np.float32)))
            quiet_day = Judgement(span, values.release_id, watch.reference.fingerprint, Verdict.QUIET, "as it was made", 1500)
            history.note(quiet_day, span.end)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of `vitrine drift ARGUMENTS`."""
        done = subprocess.run(
            [VITRINE, "drift", *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=200,
            check=False,
        )
        return done.returncode, done.stdout

    def said(self) -> Sequence[tuple[str, Verdict]]:
        """Windows and verdicts that are remembered, the days of the stream alone."""
        days = History(self.store).summaries(self.yesterday.kind)
        return [(one.span.name, one.verdict) for one in days if one.reason != "as it was made"]
