"""What the Dockerfiles say, and the images' environments, made by the very scripts that these run, from a copy of the build context.

VITRINE_IMAGES names a folder in which they stay for the next run, of the code as it was; without it each run makes its own.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import PROJECT, environment

SYSTEM_PYTHON = Path("/usr/bin/python3.11")
CONTEXT = ("components", "flows", "monitoring", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "k8s/docker")
LIMIT_S = 1800.0
DONE = "done"

ENVIRONMENT = "/opt/vitrine"  # where it lies in an image
BASE = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

Instructions = list[tuple[str, str]]
Once = Callable[[str, Callable[[Path], object]], Path]  # tests.conftest.made_once


def dockerfile(name: str) -> Instructions:
    """The instructions of the image's Dockerfile, lines that go on joined."""
    text = (PROJECT / f"k8s/docker/{name}.Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def stages(instructions: Instructions) -> list[Instructions]:
    """The instructions, a list for each FROM."""
    starts = [number for number, (word, _) in enumerate(instructions) if word == "FROM"]
    return [instructions[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def variables(name: str, image: Path = Path(ENVIRONMENT)) -> dict[str, str]:
    """What the image sets in a container, with its environment at `image`."""
    found = dict(BASE)
    for text in (text for word, text in stages(dockerfile(name))[-1] if word == "ENV"):
        for variable, _, value in (pair.partition("=") for pair in text.split()):
            found[variable] = value.replace("$PATH", found["PATH"]).replace(ENVIRONMENT, str(image))
    return found


def account(name: str) -> str:
    """The line of /etc/passwd that the image's useradd writes."""
    (words,) = [text.split() for word, text in stages(dockerfile(name))[-1] if word == "RUN" and text.startswith("useradd ")]
    given = dict(pairwise(words))
    return f"{words[-1]}:x:{given['--uid']}:{given['--uid']}::{given['--home-dir']}:{given['--shell']}\n"


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


def made(name: str, once: Once, **settings: str) -> Path:
    """The environment. Python is the system's where it has the image's version, so that other users can run it."""
    if not (kept := os.environ.get("VITRINE_IMAGES")):
        return once(f"{name}-image", lambda folder: _install(name, folder, settings)) / "image"
    if not ((folder := Path(kept) / name) / DONE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _install(name, folder, settings)
        (folder / DONE).touch()
    return folder / "image"


def _install(name: str, folder: Path, settings: dict[str, str]) -> None:
    is_there = SYSTEM_PYTHON.exists() and not subprocess.run([SYSTEM_PYTHON, "-c", "import ensurepip, venv"], check=False).returncode
    env = environment() | {"PYTHON": str(SYSTEM_PYTHON if is_there else sys.executable)} | settings
    command = [f"k8s/docker/install-{name}.sh", str(folder / "image")]
    done = subprocess.run(command, cwd=context(folder / "context"), env=env, text=True, capture_output=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def large(name: str, once: Once, **settings: str) -> Path:
    """As made(), for an environment of gigabytes: in continuous integration, or where VITRINE_IMAGES is set."""
    if not (os.environ.get("CI") or os.environ.get("VITRINE_IMAGES")):
        pytest.skip(f"the image {name} takes minutes to install: set VITRINE_IMAGES to a folder")
    return made(name, once, **settings)


def python(image: Path, code: str, given: str = "", **variables: str) -> str:
    """What the code prints in the image's environment, outside of any checkout; `given` is its standard input."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", **variables}
    done = subprocess.run([image / "bin/python", "-c", code], cwd="/", env=env, input=given, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
