"""Workspaces for tests: copies of the project with a small market, so that nothing is run or written in the checkout itself."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from ruamel.yaml import YAML

from tests.s3_server import S3Server, serving

PROJECT = Path(__file__).resolve().parents[1]
PHOTOS = PROJECT.parent / "shared" / "data" / "photos"
COPIED = (
    "components",
    "flows",
    "monitoring",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "Makefile",
    "constraints.txt",
    "data/history.json",
    "data/snapshot.json",
    "dvc.yaml",
    "params.yaml",
    "profiles",
    "pyproject.toml",
)

settings.register_profile("vitrine", deadline=None)  # first calls import libraries; time is no property here
settings.load_profile("vitrine")

# A market that every stage can work on in seconds: small photos, a narrow encoder, two epochs.
SMALL: dict[str, Any] = {
    "market": {"num_listings": 160, "num_sellers": 40, "num_users": 60, "num_requests": 700},
    "ingest": {"num_shards": 2},
    "label": {"max_pairs": 150},
    "finetune": {
        "scratch": {
            "image_px": 32,
            "hidden": 32,
            "heads": 2,
            "stem_widths": [8, 16, 32],
            "text_layers": 1,
            "vocab_size": 400,
            "max_tokens": 16,
        },
        "train": {"epochs": 2, "min_steps_an_epoch": 1, "batch_size": 16, "checkpoint_every_steps": 2},
    },
    "score": {"head": {"epochs": 3}, "own_trunk": {"when": "never"}, "num_anchors": 32},
    "export": {"dim": 16, "num_calibration_photos": 16, "num_parity_titles": 8},
    "evaluate": {"num_draws": 50},
    "serve": {"inference": {"threads": 1}},  # pinned, so that no start of a gateway measures
}


def merge(base: dict[str, Any], changes: dict[str, Any]) -> None:
    """Writes the leaves of `changes` into `base`, in place. An unknown key is a mistake in the test."""
    for key, value in changes.items():
        assert key in base, f"params.yaml has no {key!r}"
        if isinstance(value, dict):
            merge(base[key], value)
        else:
            base[key] = value


def edit_params(workspace: Path, changes: dict[str, Any]) -> None:
    """Changes leaves of a workspace's params.yaml."""
    yaml = YAML()
    path = workspace / "params.yaml"
    params = yaml.load(path)
    merge(params, changes)
    yaml.dump(params, path)


def make_workspace(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    """A Git and DVC workspace with the project's code and the small market, committed."""
    for name in COPIED:
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    edit_params(folder, SMALL)
    edit_params(folder, changes or {})
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "workspace"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


def environment() -> dict[str, str]:
    """The environment of a user whose virtual environment is active, less what would point a stage at another workspace."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "DVC", "OPENAI", "GIT_"))}
    return env | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}", "DO_NOT_TRACK": "1"}


def run(workspace: Path, *command: str, timeout_s: float = 600, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a command in a workspace; a failure shows its output."""
    done = subprocess.run(command, cwd=workspace, env=environment(), text=True, capture_output=True, timeout=timeout_s)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def make(workspace: Path, target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """`make TARGET` in a workspace with the environment that runs the tests, which is not installed again."""
    venv = Path(sys.prefix)
    return run(workspace, "make", target, f"VENV={venv}", "-o", str(venv / ".installed"), *variables)


def system_program(name: str) -> str:
    """Where a program of the system is. Without it the test is skipped, and fails in continuous integration, which installs it."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed: run `make system-deps prometheus-test-env`, then `make test`"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One long file first that needs no finished workspace: while one process runs it, another makes what most of the others wait for."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/flows/test_together.py"))


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photos; tests that ask for it are skipped where it is not."""
    if not (PHOTOS / "listings.csv").exists():
        pytest.skip("the real photos are not beside this checkout")
    return PHOTOS


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server with one bucket. Tests keep to a prefix of their own."""
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after one `dvc repro` of the small market. Tests read it and leave it as it is."""
    return made_once(tmp_path_factory, "finished", lambda folder: run(make_workspace(folder), "dvc", "repro"))


@pytest.fixture(scope="session")
def rival(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with another model's bundle for the catalogue of `finished`. Tests read it and leave it as it is."""
    from tests.serve.rival import rival_of

    return made_once(tmp_path_factory, "rival", lambda folder: rival_of(finished, folder))


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of that name that the processes of one run of the tests share: the first makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with open(folder.with_suffix(".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := folder.with_suffix(".done")).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
