"""DVC's command line for one stage in a fresh clone: `python -m flows.pools.dvc_one repro --pull --single-item STAGE`.

With --pull, DVC first downloads the run cache of everything that ever ran, an object at a time, and `push --run-cache` uploads as much
again: seconds for ten retrainings, minutes for a few hundred. Here it asks for what this one stage may have been before, by its key.
"""

import sys
from typing import Any


def main() -> None:
    """Ends with DVC's exit status."""
    from dvc.cli import main as dvc  # type: ignore[import-untyped]
    from dvc.stage.cache import StageCache  # type: ignore[import-untyped]

    whole = StageCache._load

    def load(self: Any, stage: Any) -> Any:
        fetch_one(self, stage)
        return whole(self, stage)

    StageCache._load, StageCache.pull = load, lambda self, remote, odb=None: []
    sys.exit(dvc(sys.argv[1:]))


def fetch_one(run_cache: Any, stage: Any) -> None:
    """Brings what the remote has under the key of the stage, as it is now, into the local run cache."""
    from dvc.stage.cache import _get_stage_hash

    remote = run_cache.repo.cloud.get_remote_odb(None, "fetch --run-cache", hash_name="md5-dos2unix")
    local = run_cache.repo.cache.legacy
    key = _get_stage_hash(stage)
    source = remote.fs.join(remote.path, "runs", key[:2], key)
    for path in remote.fs.find(source) if remote.fs.exists(source) else ():
        target = local.fs.join(run_cache._get_cache_dir(key), remote.fs.name(path))
        local.fs.makedirs(local.fs.parent(target), exist_ok=True)
        remote.fs.get(path, target)


if __name__ == "__main__":
    main()
