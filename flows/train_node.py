"""What each machine of a training on several runs, such as a pod of an Indexed Job: `vitrine train-node`.

Rank 0 runs the stage through DVC, as anywhere else, and keeps the store through which the ranks find each other. The others fetch what
the stage reads, wait until it trains, and take part; where DVC has nothing to do, they have nothing to do either.
"""

import dataclasses
import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from components.contract import bind, contract_of, path_of, read_params
from components.errors import BadWorkspace, RankLost, VitrineError
from components.finetune.place import Place
from flows import workspace
from flows.dag import Stage, read_dag
from flows.pools import transfer
from flows.pools.config import pools_config
from flows.stage import StageFailed, StageTimedOut, run_guarded, run_stage

STAGE = "finetune"
ENDED, LEFT = "vitrine/ended", "vitrine/left"  # beside meeting.STARTED: how the stage ended, and how many ranks have left
LOOK_S = 0.2
SHOWN_LINES = 8
FAREWELL_S = 10.0

log = logging.getLogger("vitrine")


def train_node() -> None:
    """Returns when the stage has ended well on rank 0, whichever rank this is.

    Raises BadEnvironment, BadWorkspace, what the stage raises, and RankLost where another process is gone: then the command is started
    again, and the training goes on from its last checkpoint.
    """
    place = Place.of(os.environ)
    workspace.dvc_root()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its warnings of a lost connection are stack traces
    if place.size == 1:
        log.info("%s", _run(_stage()))
    elif place.rank == 0:
        stage = _stage()
        lead(place, _patience_s(), lambda: _run(stage))
    else:
        follow(place, _patience_s(), _fetch, _take_part)


def lead(place: Place, patience_s: float, act: Callable[[], str]) -> None:
    """Does `act`, the stage, and tells the others what it returns or raises."""
    from components.finetune.meeting import open_store

    store = open_store(place, patience_s)
    os.environ.update(dataclasses.replace(place, is_kept_apart=True).variables())  # for the stage's process
    ended, limit_s = {"well": False, "said": "it was stopped"}, FAREWELL_S
    try:
        ended = {"well": True, "said": act()}
        limit_s = patience_s  # one that comes late, or again, has nothing to do any more, and must hear so
        log.info("%s", ended["said"])
    except VitrineError as error:
        ended["said"] = str(error)
        raise
    finally:
        store.set(ENDED, json.dumps(ended))
        _await_others(store, place.size - 1, limit_s)


def _await_others(store: Any, num_others: int, limit_s: float) -> None:
    """Returns when the others have heard how it ended, or the time is up: the store goes with this process."""
    deadline = time.monotonic() + limit_s
    while (missing := num_others - store.add(LEFT, 0)) > 0:
        if time.monotonic() >= deadline:
            log.warning("rank 0: %d of the %d others have not been heard of for %g s", missing, num_others, limit_s)
            return
        time.sleep(LOOK_S)


def _run(stage: Stage) -> str:
    """What DVC made of the stage, in a few words. Where there is a remote, what it reads is pulled and what it made is pushed."""
    limit_s = workspace.wait_limit()
    with workspace.taken(log.info, limit_s):
        if not _has_remote():
            run = workspace.undisturbed(lambda: run_stage(stage, log.info), log.info, limit_s)
            return f"{stage.name}: {run.verdict}; no DVC remote is set, so its outs are here alone"
        run = workspace.undisturbed(lambda: transfer.reproduced(stage, pools_config(), log.info), log.info, limit_s)
        transfer.push(stage.name, pools_config(), log.info)
        return f"{stage.name}: {run.verdict} and pushed; elsewhere `dvc repro --pull {stage.name}` restores it"


def follow(place: Place, patience_s: float, fetch: Callable[[Place], None], take_part: Callable[[Place], None]) -> None:
    """Fetches what the stage reads, and takes part where rank 0 trains. Raises RankLost where rank 0 is gone, or its stage has failed."""
    from components.finetune.meeting import STARTED, lost_told, open_store

    fetch(place)
    log.info("rank %d of %d: waiting for rank 0", place.rank, place.size)
    store = open_store(place, patience_s)
    with lost_told(place, patience_s):
        try:
            if _first_of(store, (ENDED, STARTED), patience_s) == STARTED:
                take_part(place)
            _first_of(store, (ENDED,), patience_s)
            ended = json.loads(store.get(ENDED))
        finally:
            with suppress(RuntimeError):  # the store is gone
                store.add(LEFT, 1)
    if not ended["well"]:
        raise RankLost(f"rank {place.rank}: rank 0 has failed. {ended['said']}")
    log.info("rank %d: rank 0 says %s", place.rank, ended["said"])


def _fetch(place: Place) -> None:
    """Pulls the stage's inputs, once a machine: the ranks on it share its folder."""
    if place.local_rank == 0 and _has_remote():
        params = read_params()
        transfer.pull([str(path_of(name, params)) for name in contract_of(STAGE).ins], pools_config(), log.info)


def _take_part(place: Place) -> None:
    """Raises StageFailed where this rank's training fails, StageTimedOut after the stage's time."""
    stage, lines = _stage(), deque[str](maxlen=SHOWN_LINES)
    os.environ.update(dataclasses.replace(place, is_kept_apart=True).variables())
    log.info("rank %d of %d: training", place.rank, place.size)

    def say(line: str) -> None:
        lines.append(line)
        log.info(line)

    try:
        status = run_guarded((sys.executable, "-m", "flows.rank"), stage.timeout_s, say)
    except TimeoutError:
        raise StageTimedOut(stage.name, f"ran into its limit of {stage.timeout_s} s on rank {place.rank}", tuple(lines)) from None
    if status:
        raise StageFailed(stage.name, f"ended with status {status} on rank {place.rank}", tuple(lines))


def _first_of(store: Any, keys: Sequence[str], patience_s: float) -> str:
    """The first of these keys that is set. Raises RankLost after `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        for key in keys:
            if store.check([key]):
                return key
        time.sleep(LOOK_S)
    raise RankLost(f"rank 0 said nothing for {patience_s:g} s (finetune.train.rank_timeout_s): its log says what it was doing")


def _stage() -> Stage:
    found = [stage for stage in read_dag() if stage.name == STAGE]
    if not found:
        raise BadWorkspace(f"dvc.yaml has no stage {STAGE!r}, which is what several processes can train")
    return found[0]


def _patience_s() -> float:
    from components.finetune.config import TrainConfig

    section = f"{STAGE}.train"
    return float(bind(TrainConfig, section, {section: read_params().get(STAGE, {}).get("train")}).rank_timeout_s)


def _has_remote() -> bool:
    try:
        return bool(transfer.remote())
    except VitrineError:
        return False
