"""DVC between a clone and the remote, in a guarded process group of its own, and again where the network fails."""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from components.errors import BadWorkspace, StoreFailed
from flows.dag import Stage
from flows.pools.config import PoolsConfig
from flows.pools.entries import parsed
from flows.stage import StageBlocked, StageFailed, StageRun, StageTimedOut, run_guarded, run_stage, verdict_in
from flows.workspace import DVC_LOCK

DVC = (sys.executable, "-m", "dvc")
REPRO = (sys.executable, "-m", "flows.pools.dvc_one", "--wait-for-lock", "repro", "--pull", "--single-item")
SHOWN_LINES = 6

Log = Callable[[str], None]


def reproduced(stage: Stage, cfg: PoolsConfig, log: Log) -> StageRun:
    """What DVC made of the stage with its inputs from the remote. Where it fails before the stage began, its inputs could not be had:
    tried again, transfer_tries times in all. Raises StageFailed, StageTimedOut."""
    for left in reversed(range(cfg.transfer_tries)):
        begun = list[str]()
        try:
            return run_stage(stage, _noting(stage.name, begun, log), REPRO)
        except StageTimedOut:
            raise
        except StageFailed as error:
            if begun or not left or isinstance(error, StageBlocked):
                raise
            log(f"{stage.name}: its inputs could not be had; tried again in {cfg.retry_wait_s:g} s")
        time.sleep(cfg.retry_wait_s)
    raise AssertionError("transfer_tries is at least 1")


def _noting(stage: str, begun: list[str], log: Log) -> Log:
    def note(line: str) -> None:
        if verdict_in(line, stage) == "ran":
            begun.append(line)
        log(line)

    return note


def push(stage: str, cfg: PoolsConfig, log: Log) -> None:
    """Brings the stage's outs to the remote, and DVC's note of what they were made from, with which another clone restores them.

    Raises StoreFailed.
    """
    _patiently(("push", "--run-cache", stage), cfg, log)


def pull(targets: Sequence[str], cfg: PoolsConfig, log: Log) -> None:
    """Fetches these outs from the remote into the workspace. Raises StoreFailed."""
    _patiently(("pull", "--force", *targets), cfg, log)


def brought(out: Path, cfg: PoolsConfig, log: Log) -> Path:
    """The path, after its bytes came from the remote where this clone has none of them and its dvc.lock names it. Raises StoreFailed."""
    entries = parsed(DVC_LOCK.read_text(encoding="utf-8") if DVC_LOCK.exists() else "")["stages"]
    if not out.exists() and any(one["path"] == out.as_posix() for entry in entries.values() for one in entry.get("outs", ())):
        log(f"{out} is not in this clone and comes from the remote")
        pull([str(out)], cfg, log)
    return out


def remote() -> str:
    """The name of the remote that is used by default. Raises BadWorkspace where none is."""
    lines = list[str]()
    run_guarded((*DVC, "config", "core.remote"), 60, lines.append)
    name = lines[-1].strip() if lines else ""
    if not name or " " in name:
        again = "`dvc remote add --default NAME s3://bucket/prefix`, then commit and push .dvc/config"
        raise BadWorkspace(f"no DVC remote is the default, and stage runs meet there: {again}")
    return name


def _patiently(arguments: tuple[str, ...], cfg: PoolsConfig, log: Log) -> None:
    for left in reversed(range(cfg.transfer_tries)):
        lines: deque[str] = deque(maxlen=SHOWN_LINES)
        try:
            if run_guarded((*DVC, *arguments), cfg.transfer_s, lines.append) == 0:
                return
        except TimeoutError:
            lines.append(f"no end after {cfg.transfer_s} s (pools.transfer_s in params.yaml)")
        if not left:
            raise StoreFailed(f"dvc {arguments[0]} failed {cfg.transfer_tries} times, last with: {' '.join(lines)}")
        log(f"dvc {arguments[0]} failed, tried again in {cfg.retry_wait_s:g} s: {lines[-1] if lines else 'it said nothing'}")
        time.sleep(cfg.retry_wait_s)
