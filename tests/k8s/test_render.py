"""What is rendered is what Kubernetes knows, field by field, in the oldest and the newest version that these manifests are for."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import SchemaNotFoundError

from tests.conftest import PROJECT, edit_params
from tests.k8s.conftest import SHOWN, copied, render
from tests.k8s.job_templates import stage_pod
from tests.k8s.workloads import of_kind, params_of

VERSIONS = ("1.32", "1.37")
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (PROJECT / "tests/k8s/schemas").glob("*.json")}
UNCHECKED: list[str] = []  # kinds that there is no schema for; printed, so that nobody takes them for checked


def check(document, version):
    """Raises where the document has a field too many, too few or of another type, and for a kind that has no schema at all."""
    _check(json.dumps(document), version)


@cache  # overlays have most of their documents in common
def _check(text, version):
    document = json.loads(text)
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except SchemaNotFoundError:
        if document["kind"] in UNCHECKED:
            return
        jsonschema.validate(document, SCHEMAS[document["kind"].lower()])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", list(SHOWN))
def test_every_document_is_valid_with_no_field_that_is_not_known(documents, overlay, version):
    for document in documents(overlay):
        check(document, version)
    print(f"{overlay}, Kubernetes {version}: {len(documents(overlay))} documents; unchecked kinds: {UNCHECKED or 'none'}")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pool", ["cpu", "gpu"])
def test_so_are_the_jobs_of_stages(pool, version):
    check(stage_pod(pool), version)
    check(stage_pod(pool, gpu=1, timeout_s=90000, env={"VITRINE_COMMIT": "c" * 40}), version)


@pytest.mark.parametrize("kind", ["Deployment", "PodMonitor", "PrometheusRule"])
def test_a_field_that_is_not_known_is_found(documents, kind):
    document = json.loads(json.dumps(next(of_kind(documents("operator"), kind))))
    document["spec"]["replica"] = 3
    with pytest.raises(Exception, match="replica"):
        check(document, VERSIONS[0])


def test_a_kind_without_a_schema_is_found():
    with pytest.raises(KeyError):
        check({"apiVersion": "shop.example/v1", "kind": "Stall", "metadata": {"name": "one"}}, VERSIONS[0])


@pytest.mark.parametrize("overlay", list(SHOWN))
def test_names_are_given_once(documents, overlay):
    names = [(one["kind"], one["metadata"]["name"]) for one in documents(overlay)]
    assert len(names) == len(set(names))


def test_the_gateway_gets_the_very_params_and_a_change_of_them_is_rolled_out(documents, tmp_path):
    project = copied(tmp_path, "production")
    before = render(project, "production")
    assert params_of(before) == yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "\n# another word\n")
    names = [{one["metadata"]["name"] for one in of_kind(some, "ConfigMap")} for some in (before, render(project, "production"))]
    assert len(names[0] - names[1]) == 1, "the name of the ConfigMap is that of its content"


def test_without_secrets_kind_is_not_rendered_at_all(tmp_path):
    project = copied(tmp_path, "kind")
    (project / "k8s/overlays/kind/secrets/gateway.env").unlink()
    with pytest.raises(AssertionError, match=r"gateway\.env"):
        render(project, "kind")


def test_secrets_of_kind_are_made_at_random_and_git_ignores_them(tmp_path):
    project = copied(tmp_path, "kind")
    folder = project / "k8s/overlays/kind"
    for path in (folder / "secrets").iterdir():
        path.unlink()
    (folder / "secrets").rmdir()
    command = [str(folder / "secrets.sh")]
    assert "say where" in subprocess.run(command, text=True, capture_output=True, env=_environment()).stderr
    made = subprocess.run(command, text=True, capture_output=True, env=_environment() | {"VITRINE_REPOSITORY": "https://git.example/shop"})
    assert made.stdout.startswith("vk_"), made.stderr
    texts = {path.stem: path.read_text() for path in (folder / "secrets").iterdir()}
    assert {(folder / "secrets" / f"{name}.env").stat().st_mode & 0o777 for name in texts} == {0o600}
    documents = render(project, "kind")
    assert {one["metadata"]["name"] for one in of_kind(documents, "Secret")} == {f"vitrine-{name}" for name in texts}
    assert made.stdout.split("_")[2].strip() not in str(texts), "of the gateway's key only the hash is kept"
    assert (
        "is there already"
        in subprocess.run(command, text=True, capture_output=True, env=_environment() | {"VITRINE_REPOSITORY": "x"}).stdout
    )
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    ignored = subprocess.run(["git", "check-ignore", "k8s/overlays/kind/secrets/s3.env"], cwd=project, capture_output=True, text=True)
    assert ignored.returncode == 0


def _environment():
    from tests.conftest import environment

    return environment() | {"PYTHONPATH": str(PROJECT)}


def test_no_file_of_k8s_holds_a_secret():
    for path in sorted((PROJECT / "k8s").rglob("*.y*ml")):
        if "secrets" in path.parts:
            continue
        for document in yaml.safe_load_all(path.read_text()):
            assert (document or {}).get("kind") != "Secret", path
    assert not [path for path in Path(PROJECT / "k8s").rglob("*.env") if "secrets" not in path.parts]


def secrets_named(value):
    """Every secret that a document refers to, wherever it does."""
    if isinstance(value, list):
        return {name for one in value for name in secrets_named(one)}
    if not isinstance(value, dict):
        return set()
    own = {about.get("name") or about.get("secretName") for key, about in value.items() if key in ("secretRef", "secretKeyRef", "secret")}
    tls = {value["secretName"]} if "secretName" in value else set()
    return (own | tls).union(*(secrets_named(one) for one in value.values())) - {None}


def test_the_readme_names_every_secret_that_is_asked_for_and_no_other(documents):
    asked = secrets_named([*documents("production"), *documents("train"), stage_pod("cpu"), stage_pod("gpu")])
    told = re.findall(r"^\| `(vitrine-\w+)`", (PROJECT / "k8s/README.md").read_text(), re.MULTILINE)
    assert set(told) == asked
    assert len(told) == len(asked)


def test_what_is_about_to_be_applied_can_be_held_to_the_policies(tmp_path):
    project = copied(tmp_path, "production")
    for changes, status, said in (
        ({}, 0, "every policy holds"),
        ({"serve": {"index": {"backend": "embedded"}}}, 1, "one_index_has_one_writer"),
    ):
        edit_params(project, changes)
        rendered = yaml.safe_dump_all(render(project, "production"))
        command = [sys.executable, "-m", "tests.k8s.check"]
        done = subprocess.run(command, cwd=PROJECT, input=rendered, text=True, capture_output=True, check=False)
        assert (done.returncode, said in done.stdout) == (status, True), done.stdout + done.stderr
