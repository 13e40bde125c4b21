"""Whose entry of a stage counts in a retraining: the first that was claimed, whatever comes later.

A claim is a Prefect variable with a name of its own. The server refuses a second variable of that name (a unique constraint of its
database), which makes the first claim the only one without a lock: whichever of two executions is quicker, also where one of them was
believed lost and wakes up.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import VariableCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError

from components.errors import Conflict, StoreFailed

TAG = "vitrine-claim"
PREFIX = "vitrine-"
UUID_CHARS = 36
PLAIN = re.compile(r"[a-z0-9_-]+")


class Refused(Conflict):
    """Another execution of the stage has handed back another entry before, or the retraining is over: this entry counts for nothing."""


@dataclass(frozen=True)
class Claim:
    """The digests of a stage's entry of dvc.lock and of what is told of the run that made it, a flow run of Prefect."""

    stage: str
    entry: str
    account: str
    flow_run_id: str


@contextmanager
def asked() -> Iterator[SyncPrefectClient]:
    """Prefect's client. Raises StoreFailed where the server does not answer, or answers with an error."""
    try:
        with get_client(sync_client=True) as client:
            yield client
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise StoreFailed(f"Prefect does not answer: {error or type(error).__name__}. See PREFECT_API_URL") from None


def retrain_id_of(flow_run_id: str, commit: str) -> str:
    """The name of one retraining: its flow run, and the commit it began with, since Prefect may execute a run again on a newer one."""
    return f"{flow_run_id}-{commit[:12]}"


def flow_run_of(retrain_id: str) -> UUID:
    """The flow run that retrain_id_of() was given."""
    return UUID(retrain_id[:UUID_CHARS])


def name_of(retrain_id: str, stage: str) -> str:
    """The variable's name, of small letters, digits, - and _ as Prefect wants it."""
    shown = stage if PLAIN.fullmatch(stage) else hashlib.sha256(stage.encode()).hexdigest()[:16]
    return f"{PREFIX}{retrain_id}-{shown}"


def claim(retrain_id: str, made: Claim) -> Claim:
    """The claim that counts: this one, or an earlier one with the same entry.

    Raises Refused where an earlier one has another entry, or where the retraining is over; StoreFailed where Prefect does not answer.
    """
    name = name_of(retrain_id, made.stage)
    with asked() as client:
        if not _is_open(client, retrain_id):
            raise Refused(f"{made.stage}: the retraining {retrain_id} is over, so nobody takes its entry {made.entry[:12]} any more")
        try:
            client.create_variable(VariableCreate(name=name, value=asdict(made), tags=[TAG]))
            return made
        except ObjectAlreadyExists:
            first = accepted(retrain_id, made.stage)
    if first is None:
        raise Refused(f"{made.stage}: the retraining {retrain_id} has ended just now, so nobody takes its entry {made.entry[:12]} any more")
    if first.entry != made.entry:
        raise Refused(
            f"{made.stage}: flow run {first.flow_run_id} was first, with the entry {first.entry[:12]}. This run's {made.entry[:12]} is "
            "another and is refused: a late twin, whose outs stay in the remote without being named anywhere"
        )
    return first


def accepted(retrain_id: str, stage: str) -> Claim | None:
    """The claim that counts for the stage, if there is one yet."""
    with asked() as client:
        found = client.read_variable_by_name(name_of(retrain_id, stage))
    return Claim(**found.value) if found is not None else None  # type: ignore[arg-type]  # only claim() writes variables of these names


def withdraw(retrain_id: str, stages: Iterable[str]) -> None:
    """Removes the retraining's claims, at its end."""
    with asked() as client:
        for stage in stages:
            try:
                client.delete_variable_by_name(name_of(retrain_id, stage))
            except ObjectNotFound:
                continue


def sweep() -> None:
    """Removes the claims of retrainings that are over and could not do it themselves."""
    with asked() as client:
        for variable in client.read_variables():
            if TAG in (variable.tags or ()) and not _is_open(client, variable.name.removeprefix(PREFIX)):
                client.delete_variable_by_name(variable.name)


def _is_open(client: SyncPrefectClient, retrain_id: str) -> bool:
    try:
        state = client.read_flow_run(flow_run_of(retrain_id)).state
    except ObjectNotFound:
        return False
    return state is not None and not state.is_final()
