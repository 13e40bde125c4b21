"""The `stage` deployment: one stage, in the fresh clone that the pull step made, handed back to its retraining."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import State as PrefectState
from prefect import flow, get_run_logger
from prefect.states import Completed, Failed

from components import stage_log
from components.contract import bind, code_files, path_of, read_params
from components.errors import BadContract, BadWorkspace, VitrineError
from components.release.config import ReleaseConfig
from components.release.registry import Registry
from components.releases import stable_release
from flows.dag import DVC_YAML, Stage, entries_of, read_dag
from flows.pools import claims, repository, transfer
from flows.pools.account import Account
from flows.pools.beat import beating
from flows.pools.claims import Claim, Refused
from flows.pools.config import pools_config
from flows.pools.entries import Entry, entry_of, is_stale, merged, parsed, without, written
from flows.pools.handed import Shelf
from flows.pools.runs import was_given_up
from flows.stage import StageRun, StageTimedOut
from flows.tasks import named, own_run_id
from flows.workspace import DVC_LOCK

READS_RELEASES = Path("components/releases.py")
MOVED = ("ran", "restored")  # verdicts after which the remote may lack something


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a retraining asks for: the stage, and by stage the digests of the entries that it and its upstream have by now."""

    stage: str
    commit: str
    retrain_id: str
    entries: Mapping[str, str]


@flow(name="stage", persist_result=False)
def stage(stage_name: str, commit: str, retrain_id: str, entries: dict[str, str]) -> PrefectState[Any]:
    """Completed, once the stage is done and its entry counts, this run's or an equal one; Failed, with the reason.

    `commit` is where the clone must stand, `entries` the digests of what the retraining hands over.
    """
    order = Order(stage=stage_name, commit=commit, retrain_id=retrain_id, entries=entries)
    try:
        return Completed(message=_done(order, own_run_id()))
    except Refused as error:
        get_run_logger().warning(str(error))
        return Failed(name="Refused", message=f"Refused: {error}")
    except VitrineError as error:
        return Failed(name="TimedOut" if isinstance(error, StageTimedOut) else "Failed", message=f"{type(error).__name__}: {error}")


def _done(order: Order, flow_run_id: str) -> str:
    """One line about what was done. Prefect may execute a run twice: the second finds that the first has handed back, and does nothing."""
    started_s, cfg, log = time.monotonic(), pools_config(), get_run_logger().info
    if first := claims.accepted(order.retrain_id, order.stage):
        return f"{order.stage}: flow run {first.flow_run_id} has handed it back already"
    if was_given_up(flow_run_id):
        raise Refused(f"{order.stage}: this run took too long to begin, and another was started in its place")
    shelf, drawn = Shelf.open(order.retrain_id), _fresh(order)
    with beating(lambda sign: shelf.beat(order.stage, flow_run_id, sign), cfg.beat_s):
        handed = {name: shelf.get(name, digest) for name, digest in order.entries.items()}
        named("take over")(take_over)(order.stage, handed)
        named("stable release")(_bring_stable)(order.stage)
        run = named("reproduce")(transfer.reproduced)(drawn, cfg, log)
        if run.verdict in MOVED:
            named("push")(transfer.push)(order.stage, cfg, log)
        account = Account(run=run, pool=drawn.pool, machine_s=round(time.monotonic() - started_s, 1), row=_row(run))
        counts = named("hand back")(_hand_back)(order, shelf, account, flow_run_id)
    whose = "" if counts.flow_run_id == flow_run_id else f"; flow run {counts.flow_run_id} was first, with the same entry"
    return f"{order.stage}: {run.verdict} in {run.seconds:.1f} s{whose}"


def _fresh(order: Order) -> Stage:
    """The stage as dvc.yaml draws it here. Raises BadWorkspace where this is no clone at the commit, BadContract for an unknown stage."""
    if (here := repository.head()) != order.commit:
        raise BadWorkspace(
            f"this run must stand in a clone at commit {order.commit[:12]}, and stands at {here[:12] or 'none'}: it is started by "
            "`vitrine retrain --work-pools`, which tells the pull step of prefect.yaml the commit"
        )
    for drawn in read_dag():
        if drawn.name == order.stage:
            return drawn
    raise BadContract(f"dvc.yaml of commit {order.commit[:12]} has no stage {order.stage!r}")


def take_over(stage: str, handed: Mapping[str, Entry]) -> None:
    """Merges the entries into dvc.lock; the stage's own goes where its upstream has made something else since, unless it is frozen."""
    lock = merged(parsed(DVC_LOCK.read_text(encoding="utf-8") if DVC_LOCK.exists() else ""), handed)
    own = entry_of(lock, stage)
    upstream = {name: entry for name, entry in handed.items() if name != stage}
    if own is not None and not _is_frozen(stage) and is_stale(own, upstream):
        lock = without(lock, stage)
    DVC_LOCK.write_text(written(lock), encoding="utf-8")


def _is_frozen(stage: str) -> bool:
    return bool(entries_of(DVC_YAML.read_text(encoding="utf-8"), read_params())[stage].get("frozen"))


def _bring_stable(stage: str) -> None:
    """Fetches the bundle that the snapshot names as the stable release, for a stage whose code reads it."""
    params = read_params()
    if READS_RELEASES not in code_files(stage):
        return
    if digest := stable_release(path_of("snapshot", params)):
        Registry.open(bind(ReleaseConfig, "release", params).registry).fetch(digest)


def _row(run: StageRun) -> Mapping[str, Any]:
    """The newest row that the stage wrote into the clone's log of stages; empty where it did not run."""
    rows = [row for row in stage_log.rows() if row.get("stage") == run.stage]
    return rows[-1] if rows and run.verdict == "ran" else {}


def _hand_back(order: Order, shelf: Shelf, account: Account, flow_run_id: str) -> Claim:
    """The claim that counts: this run's, or that of a twin with the same entry. Raises Refused."""
    entry = entry_of(parsed(DVC_LOCK.read_text(encoding="utf-8")), order.stage)
    if entry is None:
        raise BadWorkspace(f"DVC has left no entry of {order.stage} in dvc.lock")
    digests = shelf.put(order.stage, entry), shelf.put(order.stage, account.as_json())
    return claims.claim(order.retrain_id, Claim(order.stage, *digests, flow_run_id))
