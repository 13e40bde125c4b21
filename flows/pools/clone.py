"""The pull step of prefect.yaml: a fresh clone of the repository that the worker's environment names.

    VITRINE_REPOSITORY  address, as `git clone` takes it
    VITRINE_BRANCH      branch to begin with; the repository's own unless given
    VITRINE_COMMIT      commit to stand at, which a retraining gives its stage runs; the newest of the branch unless given

It reads the environment itself. Prefect's own git_clone would be given the address in prefect.yaml, where `prefect deploy` replaces
{{ $NAME }} by its value and keeps it in Prefect's database, credentials and all.
"""

import os
import tempfile
from pathlib import Path

from components.errors import BadWorkspace
from flows.pools import repository

REPOSITORY, BRANCH, COMMIT = "VITRINE_REPOSITORY", "VITRINE_BRANCH", "VITRINE_COMMIT"
LOCAL = Path(".dvc/config.local")
LINKS = "[cache]\n    type = hardlink,copy\n"  # one copy of what DVC brings, read-only, in place of one in its cache and one in the clone


def clone() -> dict[str, str]:
    """Where the clone is, below the current folder, as Prefect expects it of a pull step: the worker removes that folder after the run.

    Raises BadWorkspace where the environment names no repository, GitFailed where it cannot be cloned or has no such commit.
    """
    url, branch, commit = (os.environ.get(name, "") for name in (REPOSITORY, BRANCH, COMMIT))
    if not url:
        raise BadWorkspace(f"{REPOSITORY} is not set: the worker's environment must name the repository that its runs clone")
    folder = Path(tempfile.mkdtemp(prefix="clone-", dir=Path.cwd()))
    repository.clone(url, branch, commit, folder)
    if (local := folder / LOCAL).parent.is_dir():
        local.write_text(LINKS, encoding="utf-8")
    return {"directory": str(folder)}
