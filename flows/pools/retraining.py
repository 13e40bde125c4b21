"""`vitrine retrain --work-pools`: the stages of dvc.yaml as runs of the `stage` deployment, from a commit that origin has."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from components.contract import bind, path_of, read_params, report_of
from components.objects import open_store
from components.release.config import ReleaseConfig
from components.releases import stable_release
from components.stage_log import append
from components.work_cache import cache_config
from flows.dag import Stage
from flows.outcome import CacheUse
from flows.pools import claims, repository, transfer
from flows.pools.account import Account
from flows.pools.config import pools_config
from flows.pools.entries import Entry, merged, parsed, written
from flows.pools.handed import Shelf, shared_url
from flows.pools.line import Line
from flows.pools.place import Pools
from flows.pools.runs import Runs, check_deployments
from flows.tasks import named, own_run_id
from flows.workspace import DVC_LOCK

PROGRESS = "retrain-progress"
LAST = "retrain/last.json"  # in the work cache's store: a clone of its own has no run before it


def run_on_pools(stages: Sequence[Stage]) -> list[Account]:
    """The account of each stage, after dvc.lock holds their entries and the reports are here.

    Raises BadWorkspace or BadParams where stage runs could not work, StageRunFailed where one came to no end, StoreFailed.
    """
    commit, log = named("check")(_checked)(stages), get_run_logger()
    retrain_id, cfg = claims.retrain_id_of(own_run_id(), commit), pools_config()
    place = Pools(Runs(retrain_id, commit, cfg), Shelf.open(retrain_id))
    lock = parsed(DVC_LOCK.read_text(encoding="utf-8") if DVC_LOCK.exists() else "")
    keep = _Keeper(lock, len(stages))
    log.info("from commit %s, on the pools %s", commit[:12], ", ".join(sorted({stage.pool for stage in stages})))
    accounts = Line(stages, place, cfg, dict(lock["stages"]), keep, log.info, log.warning).run()
    named("pull reports")(transfer.pull)([str(report_of(stage.name)) for stage in stages], cfg, log.info)
    for account in accounts:
        if account.row:
            append(account.row)
    return accounts


def _checked(stages: Sequence[Stage]) -> str:
    """The commit to work from."""
    transfer.remote()
    params = read_params()
    if stable_release(path_of("snapshot", params)):
        shared_url(bind(ReleaseConfig, "release", params).registry, "release.registry")
    check_deployments(stage.pool for stage in stages)
    claims.sweep()
    return repository.pushed_commit()


def uses_of(accounts: Sequence[Account]) -> dict[str, CacheUse]:
    """What the stages that ran made of the work cache, by stage."""
    return {account.run.stage: account.cache for account in accounts if account.cache}


@contextmanager
def remembered(last: Path) -> Iterator[None]:
    """Has the file of the last run's outcome come from the store, where this clone has none, and be kept there after the block."""
    store = open_store(cache_config().url)
    if not last.exists() and (kept := store.get(LAST)):
        last.parent.mkdir(parents=True, exist_ok=True)
        last.write_bytes(kept)
    yield
    store.put(LAST, last.read_bytes())


def commit(message: str, wait_s: float) -> str:
    """One line about where dvc.lock is committed. Raises Conflict, GitFailed and what else the writer raises."""
    from flows.writer import commit_lock

    base = repository.head()
    done = commit_lock(message, base, own_run_id(), wait_s=wait_s, say=get_run_logger().info)
    return f"{done.where}, {done.commit[:12]}{f' on {done.branch}' if done.branch else ''}{f': {done.note}' if done.note else ''}"


class _Keeper:
    """Writes dvc.lock and the progress whenever a stage is done, so that a retraining that is killed has what there was by then."""

    def __init__(self, lock: Mapping[str, object], num_stages: int) -> None:
        self.lock, self.num_stages = lock, num_stages
        self.progress = create_progress_artifact(0.0, key=PROGRESS, description="stages done")

    def __call__(self, entries: Mapping[str, Entry]) -> None:
        partial = Path(f".{DVC_LOCK}.partial")
        partial.write_text(written(merged(self.lock, entries)), encoding="utf-8")
        partial.replace(DVC_LOCK)
        update_progress_artifact(self.progress, 100 * len(entries) / self.num_stages)  # type: ignore[arg-type, unused-coroutine]
