"""The retrain flow: the stages of dvc.yaml, in its order, each a Prefect task that leaves the deciding to DVC."""

import dataclasses
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from prefect import State as PrefectState
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components import stage_log
from components.contract import bind, read_params, write_json
from components.errors import StoreFailed, VitrineError
from components.shortage import told
from components.stage_log import RUNS
from flows import outcome as outcomes
from flows import workspace
from flows.bill import Bill
from flows.cost import Cost, machine_times
from flows.dag import Stage, read_dag
from flows.outcome import CacheUse, Metric, Outcome
from flows.stage import StageFailed, StageRun, StageTimedOut, run_stage
from flows.tasks import named

ARTIFACT = "retrain-metrics"
LOG = RUNS / "retrain"
LAST = LOG / "last.json"
TIME = "%Y-%m-%dT%H:%M:%SZ"  # UTC, as in the log of stages


@flow(name="retrain", persist_result=False)
def retrain(
    wait_s: float | None = None, work_pools: bool = False, snapshot: bool = False, evidence: dict[str, Any] | None = None
) -> PrefectState[Any]:
    """Completed, with an Outcome as its data and a line for people as its message; Failed, with the reason as its message.

    A model that evaluate would not promote is a completed run: its message says so and why. `wait_s`: how long it waits for another
    process at work here, unless workspace.wait_s. `work_pools`: each stage runs on the pool that its meta names, in a clone of its own, and
    dvc.lock is committed and pushed. `snapshot`: it begins with the data as they are now. `evidence`: the payload of a drift's event; where
    another run has taken the event, nothing is done.
    """
    logger = get_run_logger()
    try:
        limit_s = workspace.wait_limit(wait_s)
        with workspace.taken(logger.info, limit_s), told("retrain", LOG, {}):
            if evidence is not None and not _is_ours(evidence):
                return Completed(message="nothing was done: another run has taken this event, or its case is closed")
            if snapshot:
                _take_snapshot(is_shared=work_pools)
            bill = Bill.opened()
            result = _on_pools(limit_s, bill) if work_pools else _here(limit_s, bill)
    except VitrineError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    return Completed(message=outcomes.message(result), data=result)


def _is_ours(evidence: dict[str, Any]) -> bool:
    from flows.drift_case import take_case

    return take_case(evidence) is not None


@named("snapshot")
def _take_snapshot(is_shared: bool) -> None:
    """Commits the data as they are now, and the release that is stable now, as what this run is made from; pushed where it is shared."""
    from flows.bot import WriterConfig, identity
    from flows.pools import repository
    from flows.snapshot import take

    if is_shared:
        bring_profile()
    with repository.as_bot(identity(bind(WriterConfig, "writer", read_params()))):
        taken = take(stable=_live_release(), commit=True)
    for line in (*taken.news.lines, *taken.news.warnings):
        get_run_logger().info(line)
    if is_shared:
        repository.push_branch()


def bring_profile() -> None:
    """Fetches what the last validated snapshot was like, which the gates' bands learn from, where this clone has it not."""
    from flows.pools import transfer
    from flows.pools.config import pools_config

    profile = read_params().get("paths", {}).get("profile")
    try:
        if profile:
            transfer.brought(Path(profile), pools_config(), get_run_logger().info)
    except StoreFailed as error:
        get_run_logger().warning("the bands of the gates do not learn from the last snapshot: %s", error)


def _live_release() -> Path | None:
    """The bundle of the release that is stable by the channel record; None before the first."""
    from components.release.config import ReleaseConfig
    from components.release.registry import Registry

    registry = Registry.open(bind(ReleaseConfig, "release", read_params()).registry)
    stable = registry.channel()[0].stable
    return registry.fetch(stable) if stable else None


def _here(wait_s: float, bill: Bill) -> Outcome:
    """The outcome of all stages, run in this workspace one after the other."""
    stages, since = read_dag(), time.strftime(TIME, time.gmtime())
    runs = _run_all(stages, wait_s)
    logged = [row for row in stage_log.rows() if str(row.get("started", "")) >= since]
    result = _outcome(runs, outcomes.read_uses(runs, since), bill.closed(machine_times(runs, stages), logged))
    _record(result)
    return result


def _on_pools(wait_s: float, bill: Bill) -> Outcome:
    """The outcome of all stages on their pools, after dvc.lock is committed at origin."""
    from flows.pools import retraining

    log, done = get_run_logger(), retraining.run_on_pools(read_dag())
    cost = bill.closed(((account.pool, account.machine_s) for account in done), (account.row for account in done))
    result = _outcome([account.run for account in done], retraining.uses_of(done), cost)
    log.info("dvc.lock: %s", retraining.commit(outcomes.message(result), wait_s))  # first: what follows only tells of it
    try:
        with retraining.remembered(LAST):
            _record(result)
    except StoreFailed as error:
        log.warning("the next run will not find this one's metrics to compare with: %s", error)
    return result


def _run_all(stages: tuple[Stage, ...], wait_s: float) -> list[StageRun]:
    """Every stage's run, one after the other: one workspace has one writer. Raises StageFailed at the first that fails."""
    runs = []
    for place, stage in enumerate(stages, 1):
        state = _task_of(stage)(stage, wait_s, return_state=True)
        if not state.is_completed():
            raise _failure(state)
        run = cast(StageRun, state.result())
        get_run_logger().info("[%d/%d] %s: %s in %.1f s", place, len(stages), run.stage, run.verdict, run.seconds)
        runs.append(run)
    return runs


def _task_of(stage: Stage) -> Any:
    """A Prefect task named after the stage. No Prefect cache or result: DVC alone knows what is up to date."""
    return task(name=stage.name, task_run_name=stage.name, retries=stage.retries, cache_policy=NO_CACHE, persist_result=False)(_stage)


def _stage(stage: Stage, wait_s: float) -> StageRun | PrefectState[Any]:
    log = get_run_logger().info
    try:
        return workspace.undisturbed(lambda: run_stage(stage, log), log, wait_s)
    except VitrineError as error:  # as a state, which Prefect retries like an exception but logs without a traceback
        message = error.cause if isinstance(error, StageFailed) else str(error)
        return Failed(name="TimedOut" if isinstance(error, StageTimedOut) else "Failed", message=message, data=error)


def _failure(state: PrefectState[Any]) -> BaseException:
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, BaseException) else VitrineError(f"a stage ended as {state.name}: {state.message}")


def _outcome(runs: list[StageRun], uses: Mapping[str, CacheUse], cost: Cost) -> Outcome:
    reports = outcomes.read_reports([run.stage for run in runs])
    return outcomes.outcome_of(runs, reports, time.strftime(TIME, time.gmtime()), uses, cost)


def _record(result: Outcome) -> None:
    """Shows the outcome in Prefect, beside the last run's, and keeps it in runs/retrain/ for the next to compare with."""
    text = outcomes.markdown(result, last_metrics())
    try:
        create_markdown_artifact(text, key=ARTIFACT, description=outcomes.message(result))
    except Exception as error:  # whatever Prefect's client raises: the run is done
        get_run_logger().warning("the artifact of the run could not be written: %s", error)
    content = dataclasses.asdict(result)
    write_json(LOG / f"{result.finished.replace(':', '').replace('-', '')}.json", content)
    write_json(LAST.with_suffix(".json.partial"), content)
    os.replace(LAST.with_suffix(".json.partial"), LAST)


def last_metrics(path: Path = LAST) -> Mapping[str, Metric]:
    """The metrics of the last completed run here; empty where there was none."""
    if not path.exists():
        return {}
    return {name: Metric(**metric) for name, metric in json.loads(path.read_text(encoding="utf-8"))["metrics"].items()}


def at_terminal(wait_s: float | None = None, work_pools: bool = False, snapshot: bool = False) -> int:
    """The exit status of one run: 0 where it completed, 1 where it failed. What it did is printed as tables."""
    logging.getLogger("prefect.task_runs").addFilter(_without_empty_traceback)
    before = last_metrics()
    state = retrain(wait_s, work_pools, snapshot, return_state=True)
    if not state.is_completed():
        Console(stderr=True).print(Text(str(state.message or state.name), style="red"), soft_wrap=True)
        return 1
    result = cast(Outcome, state.result())
    for rows in (outcomes.stage_rows(result), outcomes.metric_rows(result, before), outcomes.cost_rows(result)):
        if len(rows) > 1:
            Console().print(_table(rows))
    for line in (*outcomes.notes(result), outcomes.message(result)):
        Console().print(Text(line), soft_wrap=True)
    return 0


def _without_empty_traceback(record: logging.LogRecord) -> bool:
    """Prefect logs a Failed state as if an exception were being handled; "NoneType: None" would tell nobody anything."""
    if record.exc_info and record.exc_info[0] is None:
        record.exc_info = None
    return True


def _table(rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)  # eight columns on a terminal of 80
    for place, name in enumerate(rows[0]):
        table.add_column(name, overflow="fold", no_wrap=place == 0)
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    return table
