"""A run's cost, from what its workspace held before and holds now."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.contract import bind, read_params
from components.errors import StoreFailed
from components.work_cache import default_store
from flows.cost import Cost, PricesConfig, asked_in, cost_of
from flows.lock_entries import entries_in
from flows.workspace import DVC_LOCK

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Bill:
    """The prices, and the entries of dvc.lock by stage, as a run found them."""

    prices: PricesConfig
    before: Mapping[str, Any]

    @classmethod
    def opened(cls) -> "Bill":
        """At the start of a run. Raises BadParams where `cost:` cannot be used, BadWorkspace where dvc.lock cannot be read."""
        return cls(bind(PricesConfig, "cost", read_params()), _entries())

    def closed(self, times: Iterable[tuple[str, float]], stage_rows: Iterable[Mapping[str, Any]]) -> Cost:
        """The cost, at the end: `times` are pools and seconds, `stage_rows` the log of the stages that ran."""
        return cost_of(times, self.before, _entries(), asked_in(stage_rows), self.prices, _cache_bytes())


def _entries() -> dict[str, Any]:
    return entries_in(DVC_LOCK.read_bytes() if DVC_LOCK.exists() else None, str(DVC_LOCK))


def _cache_bytes() -> int | None:
    if "cache" not in read_params():
        return None
    try:
        return sum(one.num_bytes for one in default_store().stored())
    except StoreFailed as error:  # the run is done: what it cost is no reason to fail it
        log.warning("work cache: its size is not known: %s", error)
        return None
