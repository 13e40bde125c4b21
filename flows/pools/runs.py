"""Stage runs as Prefect knows them: started below their retraining, looked at, given up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import Task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import TaskRunResult
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Crashed, Pending, Scheduled

from components.errors import BadWorkspace
from flows.dag import Stage
from flows.pools.claims import asked, flow_run_of
from flows.pools.clone import COMMIT
from flows.pools.config import PoolsConfig

GIVEN_UP = "GivenUp"  # a state's name


@dataclass(frozen=True)
class Started:
    """A stage run, and the task that stands for it in its retraining's graph."""

    flow_run_id: str
    task_run_id: UUID


@dataclass(frozen=True)
class Look:
    """A run's state at Prefect: its type, such as RUNNING, whether that is final, and what it says."""

    state: str
    is_final: bool
    message: str


def deployment_of(pool: str) -> str:
    """The `stage` deployment of a pool, by its name."""
    return f"stage/{pool}"


def check_deployments(pools: Iterable[str]) -> None:
    """Raises BadWorkspace where a pool has no `stage` deployment."""
    with asked() as client:
        for pool in sorted(set(pools)):
            _deployment_id(client, pool)


def _deployment_id(client: SyncPrefectClient, pool: str) -> UUID:
    try:
        return client.read_deployment_by_name(deployment_of(pool)).id
    except ObjectNotFound:
        again = f"`prefect work-pool create {pool}` with the type of your infrastructure, then `prefect --no-prompt deploy --all`"
        raise BadWorkspace(f"Prefect has no deployment {deployment_of(pool)}: {again}") from None


def job_variables(stage: Stage, commit: str, cfg: PoolsConfig) -> dict[str, Any]:
    """What a pool's job template may use: `gpu` (count), `timeout_s` (of the whole run), and the commit in the environment."""
    transfers_s = cfg.transfer_tries * cfg.transfer_s
    return {"gpu": stage.gpu, "timeout_s": stage.timeout_s + transfers_s, "env": {COMMIT: commit}}


@dataclass(frozen=True)
class Runs:
    """The stage runs of one retraining."""

    retrain_id: str
    commit: str
    cfg: PoolsConfig

    def start(self, stage: Stage, number: int, entries: Mapping[str, str], after: Iterable[UUID]) -> Started:
        """The stage's run with that number, on the pool that its meta names. A retraining that is executed again finds the run that it
        started before: it takes it over."""
        order = {"stage_name": stage.name, "commit": self.commit, "retrain_id": self.retrain_id, "entries": dict(entries)}
        name = stage.name if number == 1 else f"{stage.name} (try {number})"
        key = f"{self.retrain_id}/{stage.name}/{number}"  # of the task too: Prefect tells tasks of one function apart by this alone
        with asked() as client:
            stands_for = client.create_task_run(
                Task(fn=_nothing, name=stage.name),
                flow_run_id=flow_run_of(self.retrain_id),
                dynamic_key=key,
                name=name,
                state=Pending(),
                task_inputs={"after": [TaskRunResult(id=one) for one in after]},
            )
            run = client.create_flow_run_from_deployment(
                _deployment_id(client, stage.pool),
                parameters=order,
                state=Scheduled(),
                name=name,
                idempotency_key=key,
                parent_task_run_id=stands_for.id,
                job_variables=job_variables(stage, self.commit, self.cfg),
            )
        return Started(str(run.id), stands_for.id)

    def look(self, flow_run_id: str) -> Look:
        """How the run stands. One that was deleted at Prefect counts as cancelled."""
        with asked() as client:
            try:
                state = client.read_flow_run(UUID(flow_run_id)).state
            except ObjectNotFound:
                return Look("CANCELLED", True, "the run was deleted")
        assert state is not None
        return Look(state.type.value, state.is_final(), state.message or state.name or "")

    def give_up(self, flow_run_id: str, why: str) -> None:
        """Writes down that the run is lost. Should it still be alive, its claim comes late; should it begin after all, it ends at once."""
        with asked() as client:
            client.set_flow_run_state(UUID(flow_run_id), Crashed(name=GIVEN_UP, message=why), force=True)

    def is_rescheduled(self) -> bool:
        """Whether Prefect will execute the retraining again, as it does after its machine was drained."""
        with asked() as client:
            state = client.read_flow_run(flow_run_of(self.retrain_id)).state
        return state is not None and state.is_scheduled()

    def cancel(self, flow_run_id: str) -> None:
        """Has the run's worker end it, or no worker take it."""
        look = self.look(flow_run_id)
        if not look.is_final:
            with asked() as client:
                client.set_flow_run_state(UUID(flow_run_id), Cancelled() if look.state == "SCHEDULED" else Cancelling())


def was_given_up(flow_run_id: str) -> bool:
    """Whether the run's retraining counts it as lost, and has started another in its place: Prefect executes a crashed run that begins."""
    with asked() as client:
        return any(state.name == GIVEN_UP for state in client.read_flow_run_states(UUID(flow_run_id)))


def _nothing() -> None:
    """Stands for a stage run in the graph of its retraining."""
