"""Where the line of stages works: Prefect's runs and claims, and the store in which things are handed over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from flows.dag import Stage
from flows.pools import claims
from flows.pools.account import Account
from flows.pools.claims import Claim
from flows.pools.entries import Entry
from flows.pools.handed import Shelf
from flows.pools.runs import Look, Runs, Started


@dataclass(frozen=True)
class Pools:
    """The Place of one retraining."""

    runs: Runs
    shelf: Shelf

    def start(self, stage: Stage, number: int, entries: Mapping[str, Entry], after: Sequence[UUID]) -> Started:
        """Starts a try, which is handed those entries."""
        digests = {name: self.shelf.put(name, entry) for name, entry in entries.items()}
        return self.runs.start(stage, number, digests, after)

    def look(self, flow_run_id: str) -> Look:
        """How a try stands."""
        return self.runs.look(flow_run_id)

    def last_beat(self, stage: str, flow_run_id: str) -> str | None:
        """Its last sign of life."""
        return self.shelf.last_beat(stage, flow_run_id)

    def accepted(self, stage: str) -> Claim | None:
        """The claim that counts."""
        return claims.accepted(self.runs.retrain_id, stage)

    def taken(self, claim: Claim) -> tuple[Entry, Account]:
        """What the claim names. Raises Damaged."""
        return self.shelf.get(claim.stage, claim.entry), Account.of_json(self.shelf.get(claim.stage, claim.account))

    def give_up(self, flow_run_id: str, why: str) -> None:
        """Writes down that a try is lost."""
        self.runs.give_up(flow_run_id, why)

    def cancel(self, flow_run_id: str) -> None:
        """Ends a try."""
        self.runs.cancel(flow_run_id)

    def is_rescheduled(self) -> bool:
        """Whether Prefect will execute the retraining again."""
        return self.runs.is_rescheduled()

    def close(self, stages: Sequence[str]) -> None:
        """Removes the claims and what was handed over: from here on, whoever hands back is refused. Raises StoreFailed."""
        claims.withdraw(self.runs.retrain_id, stages)
        self.shelf.clear()
