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

from components.contract import write_json
from components.errors import VitrineError
from components.shortage import told
from components.stage_log import RUNS
from flows import outcome as outcomes
from flows import workspace
from flows.dag import Stage, read_dag
from flows.outcome import Metric, Outcome
from flows.stage import StageFailed, StageRun, StageTimedOut, run_stage

ARTIFACT = "retrain-metrics"
LOG = RUNS / "retrain"
TIME = "%Y-%m-%dT%H:%M:%SZ"  # UTC, as in the log of stages


@flow(name="retrain", persist_result=False)
def retrain() -> PrefectState[Any]:
    """Completed, with an Outcome as its data and a line for people as its message; Failed, with the reason as its message.

    A model that evaluate would not promote is a completed run: its message says so and why.
    """
    logger, started = get_run_logger(), time.time()
    try:
        with workspace.taken(say=logger.info), told("retrain", LOG, {}):
            result = _recorded(_run_all(read_dag()), started)
    except VitrineError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    return Completed(message=outcomes.message(result), data=result)


def _run_all(stages: tuple[Stage, ...]) -> list[StageRun]:
    """Every stage's run, one after the other: one workspace has one writer. Raises StageFailed at the first that fails."""
    runs = []
    for place, stage in enumerate(stages, 1):
        state = _task_of(stage)(stage, return_state=True)
        if not state.is_completed():
            raise _failure(state)
        run = cast(StageRun, state.result())
        get_run_logger().info("[%d/%d] %s: %s in %.1f s", place, len(stages), run.stage, run.verdict, run.seconds)
        runs.append(run)
    return runs


def _task_of(stage: Stage) -> Any:
    """A Prefect task named after the stage. No Prefect cache or result: DVC alone knows what is up to date."""
    return task(name=stage.name, task_run_name=stage.name, retries=stage.retries, cache_policy=NO_CACHE, persist_result=False)(_stage)


def _stage(stage: Stage) -> StageRun | PrefectState[Any]:
    log = get_run_logger().info
    try:
        workspace.make_ready(log)  # a try before this one may have been killed
        return run_stage(stage, log)
    except VitrineError as error:  # as a state, which Prefect retries like an exception but logs without a traceback
        message = error.cause if isinstance(error, StageFailed) else str(error)
        return Failed(name="TimedOut" if isinstance(error, StageTimedOut) else "Failed", message=message, data=error)


def _failure(state: PrefectState[Any]) -> BaseException:
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, BaseException) else VitrineError(f"a stage ended as {state.name}: {state.message}")


def _recorded(runs: list[StageRun], started_s: float) -> Outcome:
    """The outcome of the runs, after it is in the Prefect artifact and, for the next run to compare with, in runs/retrain/."""
    finished = time.strftime(TIME, time.gmtime())
    uses = outcomes.read_uses(runs, since=time.strftime(TIME, time.gmtime(started_s)))
    result = outcomes.outcome_of(runs, outcomes.read_reports([run.stage for run in runs]), finished, uses)
    text = outcomes.markdown(result, last_metrics())
    create_markdown_artifact(text, key=ARTIFACT, description=outcomes.message(result))
    content = dataclasses.asdict(result)
    write_json(LOG / f"{finished.replace(':', '').replace('-', '')}.json", content)
    write_json(LOG / "last.json.partial", content)
    os.replace(LOG / "last.json.partial", LOG / "last.json")
    return result


def last_metrics(path: Path = LOG / "last.json") -> Mapping[str, Metric]:
    """The metrics of the last completed run here; empty where there was none."""
    if not path.exists():
        return {}
    return {name: Metric(**metric) for name, metric in json.loads(path.read_text(encoding="utf-8"))["metrics"].items()}


def at_terminal() -> int:
    """The exit status of one run: 0 where it completed, 1 where it failed. What it did is printed as tables."""
    logging.getLogger("prefect.task_runs").addFilter(_without_empty_traceback)
    before = last_metrics()
    state = retrain(return_state=True)
    if not state.is_completed():
        Console(stderr=True).print(Text(str(state.message or state.name), style="red"), soft_wrap=True)
        return 1
    result = cast(Outcome, state.result())
    for rows in (outcomes.stage_rows(result), outcomes.metric_rows(result, before)):
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
