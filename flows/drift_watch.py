"""What windows are judged with: the release that answers, its reference, the gateway's store, and what was said before."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract import bind, path_of, read_params
from components.objects import ObjectStore, open_store
from components.release.changes import Desk
from components.release.config import ReleaseConfig
from components.release.registry import Registry
from monitoring.cases import CaseBook
from monitoring.config import MonitorConfig
from monitoring.history import History
from monitoring.reference import Reference, reference_of, with_clicks
from monitoring.snooze import SnoozeBook

SEED = 0  # of samples: the same window is read alike whenever it is read


@dataclass(frozen=True)
class Watch:
    """The edge of a check. `images` is the workspace's folder of photos, for pages."""

    cfg: MonitorConfig
    store: ObjectStore
    reference: Reference
    history: History
    cases: CaseBook
    snoozes: SnoozeBook
    images: Path | None

    @classmethod
    def open(cls, bundle: Path | None = None) -> "Watch":
        """Of the workspace: `bundle`, or the stable release of the channel record, or, where there is no record, the workspace's bundle.
        Raises BadParams, StoreFailed, BadBundle."""
        params = read_params()
        cfg = bind(MonitorConfig, "monitor", params)
        folder, since = (bundle, None) if bundle else stable_of(params)
        store = open_store(str(params["serve"]["store"]))
        reference = with_clicks(reference_of(folder, cfg, SEED, since), store, cfg.windows.sample_rows)
        return cls.of(cfg, store, reference, path_of("images", params))

    @classmethod
    def of(cls, cfg: MonitorConfig, store: ObjectStore, reference: Reference, images: Path | None) -> "Watch":
        """With its books in the same store."""
        return cls(cfg, store, reference, History(store), CaseBook(store), SnoozeBook(store), images)


def stable_of(params: Mapping[str, Any]) -> tuple[Path, dt.datetime | None]:
    """The folder of the release that answers everybody else than a canary, and since when it does; of the workspace's bundle without a
    channel record."""
    registry = Registry.open(bind(ReleaseConfig, "release", params).registry)
    channel, _ = registry.channel()
    if channel.stable is None:
        return path_of("bundle", params), None
    promoted = [entry.at for entry in Desk(registry).log_of(channel.stable).read() if entry.kind == "promote"]
    return registry.fetch(channel.stable), max(promoted, default=None)
