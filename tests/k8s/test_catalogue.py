"""The init container of the gateway: what it brings, when, and to whom, with real Git and DVC."""

import subprocess

import pytest

from components.release.channel import first
from components.release.registry import Registry
from components.serve.brought import FILE
from tests.conftest import PROJECT, edit_params, environment
from tests.k8s import shop
from tests.k8s.kubelet import STARTS_S
from tests.k8s.workloads import params_of
from tests.release.small_release import bundle, publish

SCRIPT = PROJECT / "k8s/base/gateway/catalogue.sh"


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """The shop's repository. Tests leave it as it is."""
    return shop.origin(tmp_path_factory.mktemp("catalogue"))


@pytest.fixture
def workspace(tmp_path):
    """What the pod finds: params.yaml, and a disk without a gateway's state."""
    folder = tmp_path / "workspace"
    (folder / ".vitrine/serve").mkdir(parents=True)
    (folder / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    edit_params(folder, {"release": {"registry": str(tmp_path / "registry")}})
    return folder


def start(workspace, origin, pod="gateway-0", **variables):
    env = environment() | {"POD_NAME": pod, "VITRINE_REPOSITORY": str(origin), "WAIT_S": "0.2", "PYTHONPATH": str(PROJECT)} | variables
    return subprocess.Popen(["sh", SCRIPT], cwd=workspace, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def brought(workspace):
    return sorted(path.name for path in (workspace / "data").glob("*")) if (workspace / "data").exists() else []


def make_stable(tmp_path):
    registry = Registry.open(str(tmp_path / "registry"))
    release_id = publish(registry, bundle(tmp_path / "bundle"))
    registry.change(lambda channel: first(channel, release_id))


def test_it_waits_for_a_first_release_and_brings_the_catalogue_alone(workspace, origin, tmp_path):
    process = start(workspace, origin, VITRINE_BRANCH="main")
    assert "no release is stable yet" in process.stdout.readline()
    assert brought(workspace) == []
    make_stable(tmp_path)
    said = process.communicate(timeout=STARTS_S)[0]
    assert process.returncode == 0, said
    assert brought(workspace) == ["images", "listings"]
    shard = workspace / "data/listings/shard-00000.parquet"
    assert (shard.read_text(), shard.stat().st_mode & 0o777) == ("listings", 0o444), "what DVC had in its cache, not a copy of it"
    assert "release:" in (workspace / "params.yaml").read_text(), "the gateway's own, not that of the clone"
    assert not (workspace / ".clone").exists()


def test_a_gateway_that_has_an_index_and_later_replicas_fetch_nothing(workspace, origin, tmp_path):
    for pod in ("gateway-1", "gateway-10"):
        process = start(workspace, origin, pod)
        process.communicate(timeout=STARTS_S)
        assert process.returncode == 0
    (workspace / ".vitrine/serve/brought").write_text("a" * 64)
    process = start(workspace, origin)
    assert "has an index" in process.communicate(timeout=STARTS_S)[0]
    assert process.returncode == 0
    assert brought(workspace) == []


def test_it_looks_where_the_gateway_keeps_its_state(documents):
    assert f"{params_of(documents('production'))['serve']['state']}/{FILE}" in SCRIPT.read_text()


def test_one_that_was_cut_short_begins_again_and_a_repository_that_is_gone_fails(workspace, origin, tmp_path):
    make_stable(tmp_path)
    (workspace / ".clone").mkdir()
    (workspace / "data/listings").mkdir(parents=True)
    failed = start(workspace, tmp_path / "nowhere")
    assert "nowhere" in failed.communicate(timeout=STARTS_S)[0]
    assert failed.returncode != 0
    again = start(workspace, origin)
    said = again.communicate(timeout=STARTS_S)[0]
    assert again.returncode == 0, said
    assert brought(workspace) == ["images", "listings"]
