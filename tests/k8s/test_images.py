"""Dockerfiles by their text, and the images' environments by what is in them."""

import json
import re
import subprocess
import tomllib

import pytest

from tests.conftest import PROJECT
from tests.k8s.images import dockerfile, python, stages, variables
from tests.k8s.install import CONTEXT
from tests.k8s.job_templates import stage_pod
from tests.k8s.workloads import Workload, workloads

pytestmark = pytest.mark.timeout(2400)  # the first to use an image waits for pip
NAMES = ("serve", "flows", "train")
TRAINING = ("torch", "transformers", "accelerate", "prefect", "dvc", "great_expectations", "evidently", "pandas", "sklearn")


def breaches(instructions):
    """What is wrong with a Dockerfile, in words."""
    found, (*_, last) = [], stages(instructions)
    bases = {text.partition("=")[0]: text.partition("=")[2] for word, text in instructions if word == "ARG" and "=" in text}
    for word, text in instructions:
        base = re.sub(r"\$\{(\w+)\}", lambda match: bases[match[1]], text.split()[0]) if word == "FROM" else ""
        if word == "FROM" and not re.search(r":\d+\.\d+\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?$", base):
            found.append(f"FROM {base} is not pinned")
        if word in ("ENTRYPOINT", "ADD", "VOLUME"):
            found.append(f"{word}: Prefect's jobs give the whole command" if word == "ENTRYPOINT" else word)
        if re.search(r"KEY|SECRET|TOKEN|PASSWORD", text) and word in ("ENV", "ARG"):
            found.append(f"{word} {text}: a secret would stay in the image")
    if len(stages(instructions)) < 2 or not any(word == "COPY" and "--from=build" in text for word, text in last):
        found.append("not in stages")
    if [text for word, text in last if word == "COPY" and "--from" not in text]:
        found.append("sources are copied into the image")
    if re.search(r"pip install|gcc|build-essential|-dev\b", " ".join(text for word, text in last if word == "RUN")):
        found.append("the last stage builds")
    users = [text for word, text in last if word == "USER"]
    if users != ["10001:10001"]:
        found.append(f"runs as {users}")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_dockerfile_keeps_the_rules(name):
    assert breaches(dockerfile(name)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [(word, "python:3.11" if word == "FROM" else text) for word, text in lines], "not pinned"),
        (lambda lines: [line for line in lines if line[0] != "USER"], "runs as"),
        (lambda lines: [*lines, ("RUN", "apt-get install -y gcc")], "builds"),
        (lambda lines: [*lines, ("COPY", ". .")], "sources"),
        (lambda lines: [*lines, ("ENV", "AWS_SECRET_ACCESS_KEY=abc")], "secret"),
        (lambda lines: [*lines, ("ENTRYPOINT", '["vitrine"]')], "ENTRYPOINT"),
        (lambda lines: lines[: [word for word, _ in lines].index("RUN")], "stages"),
    ],
)
def test_a_breach_is_found(change, said):
    assert said in " ".join(breaches(change(dockerfile("train"))))


def test_dvc_has_a_folder_of_its_own_that_every_container_of_its_images_can_write(documents):
    pods = [*workloads([*documents("production"), *documents("kind"), *documents("train")]), *map(Workload, map(stage_pod, ("cpu", "gpu")))]
    containers = [(pod.name, one) for pod in pods for one in pod.containers]
    with_dvc = [(pod, one) for pod, one in containers if re.search(r"/(flows|train):", one["image"])]
    assert {one["name"] for _, one in with_dvc} >= {"catalogue", "prefect-job", "train", "clone"}
    for pod, one in with_dvc:
        name = re.search(r"/(flows|train):", one["image"])[1]
        written = [mount["mountPath"] for mount in one["volumeMounts"] if not mount.get("readOnly")]
        assert any(variables(name)["DVC_SITE_CACHE_DIR"].startswith(f"{path}/") for path in written), f"{pod}/{one['name']}"


def test_the_build_context_is_what_is_named_and_nothing_that_could_be_secret():
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:].removesuffix("/*.sh") for line in lines if line.startswith("!")} == set(CONTEXT)


def test_every_extra_that_an_image_installs_is_there():
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in NAMES:
        (named,) = re.findall(r"'\.\[([\w,]+)\]'", (PROJECT / f"k8s/docker/install-{name}.sh").read_text())
        assert set(named.split(",")) <= set(extras)


def test_train_says_what_it_is_built_for_and_refuses_to_guess(tmp_path):
    done = subprocess.run(
        ["sh", PROJECT / "k8s/docker/install-train.sh", tmp_path / "image"], text=True, capture_output=True, env={}, check=False
    )
    assert done.returncode != 0
    assert "cpu or cuda" in done.stderr


def test_the_gateway_is_installed_without_a_training_stack(serve_image):
    code = f"""
import importlib.util, json, sys
import components.serve.app, flows.serve, flows.triton_follow, components.serve.inference.triton, components.serve.index.postgres.store
print(json.dumps([name for name in {TRAINING!r} if importlib.util.find_spec(name) or name in sys.modules]))
"""
    assert json.loads(python(serve_image, code)) == []
    done = subprocess.run([serve_image / "bin/vitrine", "--help"], cwd="/", text=True, capture_output=True, check=False)
    assert done.returncode == 0
    assert "triton-follow" in done.stdout


def test_what_a_gateway_decides_rarely_is_installed_too(serve_image):
    assert python(
        serve_image, "from components.release.changes import Desk; from components.release.decision import Decision; print('well')"
    )


def test_workers_and_the_server_are_installed_without_torch(flows_image):
    code = """
import importlib.util, json
import prefect_kubernetes, dvc, dvc_s3, asyncpg, boto3, flows.pools.clone, flows.channel
print(json.dumps([name for name in ("torch", "transformers", "great_expectations", "evidently") if importlib.util.find_spec(name)]))
"""
    assert json.loads(python(flows_image, code)) == []
    for command in (["vitrine", "release", "status", "--help"], ["prefect", "worker", "start", "--help"], ["dvc", "--version"]):
        subprocess.run([flows_image / "bin" / command[0], *command[1:]], cwd="/", capture_output=True, check=True)


def test_stages_releases_and_checks_are_installed_for_training(train_image):
    python(
        train_image,
        "import torch, flows.pools.stage_run, flows.release, flows.monitor, flows.probing, flows.retrain, flows.train_node, "
        "components.finetune.component, components.export.component, components.validate.component, monitoring.evidently.report",
    )
