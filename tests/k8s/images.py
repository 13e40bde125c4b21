"""What the Dockerfiles say, and the images' environments: those in the folder that VITRINE_IMAGES names, else made by each run."""

import os
import subprocess
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.k8s.install import install, kept

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


def made(name: str, once: Once) -> Path:
    """The environment."""
    if found := os.environ.get("VITRINE_IMAGES"):
        return kept(name, Path(found).resolve())
    return once(f"{name}-image", partial(install, name)) / "image"


def large(name: str, once: Once) -> Path:
    """As made(), for an environment of gigabytes: in continuous integration, or where VITRINE_IMAGES is set."""
    if not (os.environ.get("CI") or os.environ.get("VITRINE_IMAGES")):
        pytest.skip(f"the image {name} takes minutes to install: set VITRINE_IMAGES to a folder")
    return made(name, once)


def python(image: Path, code: str, given: str = "", **variables: str) -> str:
    """What the code prints in the image's environment, outside of any checkout; `given` is its standard input."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", **variables}
    done = subprocess.run([image / "bin/python", "-c", code], cwd="/", env=env, input=given, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
