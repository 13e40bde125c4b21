"""What is told of a stage run beside its entry: DVC's verdict, the time, and what the work cache spared."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flows.outcome import CacheUse
from flows.stage import StageRun


@dataclass(frozen=True, kw_only=True)
class Account:
    """A stage run on a pool. `machine_s`: seconds from its begin until it handed back, transfers included; `row`: the stage's own row of
    runs/stages.jsonl, empty where the stage did not run."""

    run: StageRun
    pool: str
    machine_s: float
    row: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As of_json() reads it."""
        return asdict(self)

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Account":
        """What as_json() made."""
        return cls(**{**value, "run": StageRun(**value["run"])})

    @property
    def cache(self) -> CacheUse | None:
        """What the stage made of the work cache; None where it uses none, or did not run."""
        use = self.row.get("cache")
        return CacheUse(use["reused"], use["recomputed"], tuple(use.get("changed", ()))) if use else None
