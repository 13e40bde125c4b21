"""The environments of the images, made by the very scripts that the Dockerfiles run, from a copy of what the build context holds.

`python3.11 -m tests.k8s.install FOLDER` makes all of them there, with Python alone, so that it can go on beside `make setup`; the tests
find them by VITRINE_IMAGES=FOLDER. They stay for the next run, of the code as it was.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = Path("/usr/bin/python3.11")
CONTEXT = ("components", "flows", "monitoring", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "k8s/docker")
# What the scripts are given. `no` is how pip wants to be told not to compile: gigabytes, of which a test imports little. The other two are
# run as users who may not write into them.
COMPILED = {"PIP_NO_COMPILE": "yes"}
SETTINGS: Mapping[str, Mapping[str, str]] = {"serve": COMPILED, "flows": COMPILED, "train": {"DEVICE": "cpu", "PIP_NO_COMPILE": "no"}}
LIMIT_S = 1800.0
DONE = "done"


def context(folder: Path) -> Path:
    """What .dockerignore leaves of the project."""
    for name in CONTEXT:
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def install(name: str, folder: Path) -> None:
    """Makes folder/image. Python is the system's where it has the image's version, so that other users can run it. Raises RuntimeError."""
    is_there = SYSTEM_PYTHON.exists() and not subprocess.run([SYSTEM_PYTHON, "-c", "import ensurepip, venv"], check=False).returncode
    env = {**os.environ, "PYTHON": str(SYSTEM_PYTHON if is_there else sys.executable), **SETTINGS[name]}
    command = [f"k8s/docker/install-{name}.sh", str(folder / "image")]
    done = subprocess.run(command, cwd=context(folder / "context"), env=env, text=True, capture_output=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def kept(name: str, kept_in: Path) -> Path:
    """The environment in that folder, made where it is not there yet."""
    if not ((folder := kept_in / name) / DONE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        install(name, folder)
        (folder / DONE).touch()
    return folder / "image"


if __name__ == "__main__":
    for image in SETTINGS:
        kept(image, Path(sys.argv[1]).resolve())
