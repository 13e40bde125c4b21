"""What `kubectl kustomize` makes of each overlay, in a copy of the project whose params.yaml is that of such a cluster."""

import json
import os
import re
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT, edit_params, made_once
from tests.k8s.images import large, made
from tests.k8s.workloads import LOADER

KUBECTL = (1, 27)  # kustomize 5; Debian's kubernetes-client is 1.20 and knows neither `labels` nor `patches` of a list
SHOWN = {name: f"k8s/overlays/{name}" for name in ("production", "kind", "operator")} | {"train": "k8s/train"}
PARAMS = {"kind": "k8s/overlays/kind/params.yaml"}  # what differs from params.yaml; elsewhere, the profile `production`
OPERATOR = {"resources": ["../production"], "components": ["../../components/prometheus-operator"]}
SECRETS = ("gateway", "prefect", "postgres", "s3", "git", "alerts")

Document = dict[str, Any]


@cache
def kubectl() -> str:
    """The program. Without one of KUBECTL or later the test is skipped, and fails in continuous integration."""
    wanted = ".".join(map(str, KUBECTL))
    found = shutil.which("kubectl")
    version = _version(found) if found else (0, 0)
    if found and version >= KUBECTL:
        return found
    message = f"kubectl {wanted} or later is needed, found {'.'.join(map(str, version))}; Debian's kubernetes-client is older"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _version(program: str) -> tuple[int, ...]:
    told = subprocess.run([program, "version", "--client", "--output", "json"], text=True, capture_output=True, check=True).stdout
    return tuple(map(int, re.match(r"v(\d+)\.(\d+)", json.loads(told)["clientVersion"]["gitVersion"]).groups()))  # type: ignore[union-attr]


def copied(folder: Path, overlay: str) -> Path:
    """A project that the overlay can be rendered in: its own params.yaml, and throwaway secrets."""
    for name in ("k8s", "monitoring"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    shutil.copy(PROJECT / "params.yaml", folder)
    changes = (PROJECT / PARAMS.get(overlay, "profiles/production.yaml")).read_text(encoding="utf-8")
    edit_params(folder, yaml.safe_load(changes.replace("${bucket}", "vitrine")))
    for name in SECRETS:
        path = folder / "k8s/overlays/kind/secrets" / f"{name}.env"
        path.parent.mkdir(exist_ok=True)
        path.write_text("word=planted\n", encoding="utf-8")
    operator = folder / "k8s/overlays/operator"
    operator.mkdir()
    (operator / "kustomization.yaml").write_text(yaml.safe_dump({**OPERATOR, "kind": "Kustomization"}), encoding="utf-8")
    return folder


def render(project: Path, overlay: str) -> list[Document]:
    """The documents. Raises AssertionError where kustomize refuses, or warns of what it will not know for long."""
    command = [kubectl(), "kustomize", "--load-restrictor", "LoadRestrictionsNone", SHOWN[overlay]]
    done = subprocess.run(command, cwd=project, text=True, capture_output=True, check=False)
    assert not done.stderr, done.stderr
    return list(yaml.load_all(done.stdout, LOADER))


@pytest.fixture(scope="session")
def documents(tmp_path_factory):
    """The documents of an overlay, by its name."""
    return cache(lambda overlay: render(copied(tmp_path_factory.mktemp(overlay), overlay), overlay))


@pytest.fixture(scope="session")
def serve_image(tmp_path_factory):
    return made("serve", partial(made_once, tmp_path_factory))


@pytest.fixture(scope="session")
def flows_image(tmp_path_factory):
    return large("flows", partial(made_once, tmp_path_factory))


@pytest.fixture(scope="session")
def train_image(tmp_path_factory):
    return large("train", partial(made_once, tmp_path_factory))
