"""A second bundle for the same catalogue: narrower vectors, so another fingerprint, and made by the real stages."""

import shutil
from pathlib import Path
from typing import Any

from tests.conftest import edit_params, run

# Vectors of another width agree less than those of two models would: tests are about switching, the gate has its own.
LENIENT: dict[str, Any] = {
    "index": {"gate": {"min_overlap_at_10": 0.0, "min_recall_at_10": 0.0, "max_latency_ratio": 1000.0, "max_p95_ms": 1000.0}}
}
STAGES = ("export", "embed", "validate_vectors", "index", "evaluate", "reference")


def rival_of(workspace: Path, folder: Path, dim: int = 12) -> Path:
    """The workspace of the rival bundle, copied from a finished one."""
    shutil.copytree(workspace, folder, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", "cache", "tmp"))
    edit_params(folder, {"export": {"dim": dim}})
    for stage in STAGES:
        run(folder, "vitrine", "run", stage)
    return folder
