"""A second bundle for the same catalogue: narrower vectors, so another fingerprint, and made by the real stages."""

import shutil
from pathlib import Path

from tests.conftest import edit_params, run

STAGES = ("export", "embed", "validate_vectors", "index", "evaluate", "reference")


def rival_of(workspace: Path, folder: Path, dim: int = 12) -> Path:
    """The workspace of the rival bundle, copied from a finished one."""
    shutil.copytree(workspace, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "cache", "tmp"))
    edit_params(folder, {"export": {"dim": dim}})
    for stage in STAGES:
        run(folder, "vitrine", "run", stage)
    return folder
