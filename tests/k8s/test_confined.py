"""Containers as the cluster would run them: the rendered command, mounts, user and probes, on a root that cannot be written."""

import copy
import json
import shutil
import signal
from pathlib import Path

import httpx
import pytest
import yaml

from components.release.channel import first
from components.release.registry import Registry
from components.serve.inference.repository import held
from flows.server import SETTINGS, serving
from flows.triton_follow import REPOSITORY
from tests.conftest import environment
from tests.k8s import shop
from tests.k8s.gateway_policies import MIB
from tests.k8s.job_templates import stage_pod
from tests.k8s.kubelet import Pod, asked, await_probe
from tests.k8s.workloads import amount, of_kind, params_of
from tests.release.small_release import bundle, publish
from tests.serve.canary_shop import Place, twin
from tests.serve.gateway import free_port

pytestmark = pytest.mark.timeout(2400)  # the first to use an image waits for pip


def with_params(documents, **changes):
    """A copy of the documents with other params.yaml, section by section."""
    changed = copy.deepcopy(documents)
    params = params_of(changed)
    for knob, value in changes.items():
        *above, last = knob.split("__")
        section = params
        for word in above:
            section = section[word]
        section[last] = value
    config = next(one for one in of_kind(changed, "ConfigMap") if one["metadata"]["name"].startswith("params-"))
    config["data"]["params.yaml"] = yaml.safe_dump(params)
    return changed


@pytest.fixture
def keys(tmp_path):
    """A key, and what the variable VITRINE_API_KEYS holds of it."""
    from components.serve.access.key_file import add
    from components.serve.access.keys import new_key
    from tests.release.small_release import AT

    key, row = new_key(["read", "write"], 100.0, 1000, "test", AT, None)
    add(tmp_path / "keys.json", row)
    return key, json.dumps(json.loads((tmp_path / "keys.json").read_text()))


@pytest.fixture
def gateway(documents, finished, serve_image, keys, tmp_path):
    """The gateway's pod of kind as it stands after `catalogue`, with a registry on its own disk in place of S3."""
    local = {"release__registry": ".vitrine/registry", "serve__store": ".vitrine/store", "serve__inference__threads": 1}
    values = {"VITRINE_API_KEYS": keys[1], "VITRINE_USER_SALT": "0123456789abcdef"}
    pod = Pod(with_params(documents("kind"), **local), "StatefulSet", "gateway", tmp_path / "pod", serve_image, values)
    state = pod.volume("state") / "state"
    place = Place(state / "registry")
    place.begin(place.publish(twin(finished / "bundle", tmp_path / "bundle")))
    for table in ("listings", "images"):
        shutil.copytree(finished / "data" / table, pod.volume("workspace") / "data" / table)
    pod.give(state)
    return pod


def test_the_gateway_is_ready_on_a_root_that_cannot_be_written_and_drains_in_its_grace(gateway, keys):
    container, port = gateway.container("gateway"), free_port()
    with (
        gateway.running("gateway", **{"8080": str(port)}) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        await_probe(port, container["startupProbe"], gateway, "gateway", process)
        await_probe(port, container["readinessProbe"], gateway, "gateway", process)
        assert "vitrine_ready 1.0" in client.get("/metrics").text
        assert client.get("/v1/similar", params={"text": "red"}).status_code == 401
        client.headers["authorization"] = f"Bearer {keys[0]}"
        assert client.get("/v1/similar", params={"text": "red"}).json()["items"]
        picture = client.get(client.get("/v1/items", params={"limit": 1}).json()["items"][0]["picture"]).content
        found = client.post("/v1/similar/upload", files={"picture": ("a.png", picture)})
        assert found.json()["items"], "decoding workers run here too"
        click = {"event_id": "e1", "type": "click", "request_id": "r", "item_id": found.json()["items"][0]["item_id"]}
        client.post("/v1/events", json={"events": [click]}).raise_for_status()
        assert _memory_bytes(process.pid) < amount(container["resources"]["limits"]["memory"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(gateway.workload.spec["terminationGracePeriodSeconds"]) in (0, -signal.SIGTERM), gateway.log("gateway")
    flushed = list((gateway.volume("state") / "state/store/events/clicks").rglob("*.parquet"))
    assert len(flushed) == 1, "what was acknowledged is in the store before the pod is gone"
    assert asked(port, container["livenessProbe"]) == 0
    assert "Read-only file system" not in gateway.log("gateway")
    assert "Permission denied" not in gateway.log("gateway")
    assert (gateway.volume("state") / "state/serve/brought").exists(), "what a later start goes by is on the claimed disk"


def test_models_for_triton_are_kept_by_a_container_that_can_write_nothing_else(documents, finished, serve_image, tmp_path):
    local = {"release__registry": "/models/registry"}
    pod = Pod(with_params(documents("production"), **local), "Deployment", "triton", tmp_path / "pod", serve_image)
    place = Place(pod.volume("models") / "registry")
    release_id = place.publish(twin(finished / "bundle", tmp_path / "bundle"))
    place.begin(release_id)
    pod.give(pod.volume("models"))
    with pod.running("models") as process:
        assert process.wait(120) == 0, pod.log("models")
    assert set(held(pod.volume("models") / REPOSITORY)) == {release_id}
    mounts = {mount["mountPath"]: mount for mount in pod.container("triton")["volumeMounts"]}
    (flag,) = [word for word in pod.container("triton")["command"] if word.startswith("--model-repository=")]
    assert flag == f"--model-repository={mounts['/models']['mountPath']}/{REPOSITORY}", "where the server looks"


def test_prefects_server_serves_its_api_and_pages_there(documents, flows_image, tmp_path):
    values = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////tmp/prefect.db",
        "PREFECT_SERVER_API_AUTH_STRING": "vitrine:word",
    }
    pod = Pod(documents("kind"), "Deployment", "prefect", tmp_path / "pod", flows_image, values)
    container, port = pod.container("prefect"), free_port()
    with pod.running("prefect", **{"4200": str(port)}) as process:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            await_probe(port, container[probe], pod, "prefect", process)
        url = f"http://127.0.0.1:{port}"
        assert httpx.post(f"{url}/api/work_pools/filter", json={}).status_code == 401, "the API wants the word"
        assert httpx.post(f"{url}/api/work_pools/filter", json={}, auth=("vitrine", "word")).status_code == 200
        assert httpx.get(url, follow_redirects=True).status_code == 200, pod.log("prefect")[-3000:]
        worker = Pod(documents("kind"), "Deployment", "worker-gpu", tmp_path / "worker", flows_image, _worker(port))
        with worker.running("register") as registering:
            assert registering.wait(120) == 0, worker.log("register")
        pools = httpx.post(f"{url}/api/work_pools/filter", json={}, auth=("vitrine", "word")).json()
        assert [(pool["name"], pool["type"]) for pool in pools] == [("gpu", "kubernetes")]
        assert pools[0]["base_job_template"]["variables"]["properties"]["image"]["default"] == "vitrine/train:0.1.0-cpu"
        print(f"prefect: {_memory_bytes(process.pid) / MIB:.0f} MiB")


def test_the_catalogue_is_brought_there(documents, flows_image, tmp_path):
    local = {"release__registry": ".vitrine/registry"}
    values = {"POD_NAME": "gateway-0", "VITRINE_REPOSITORY": "/tmp/shop/origin"}
    pod = Pod(with_params(documents("kind"), **local), "StatefulSet", "gateway", tmp_path / "pod", flows_image, values)
    registry = Registry.open(str(pod.volume("state") / "state/registry"))
    release_id = publish(registry, bundle(tmp_path / "bundle"))
    registry.change(lambda channel: first(channel, release_id))
    shop.origin(pod.volume("tmp") / "shop", Path("/tmp/shop"))
    for name in ("state", "tmp"):
        pod.give(pod.volume(name))
    with pod.running("catalogue") as process:
        assert process.wait(180) == 0, pod.log("catalogue")
    assert sorted(path.name for path in (pod.volume("workspace") / "data").iterdir()) == ["images", "listings"]


def test_a_job_clones_onto_its_disk_and_dvc_works_there(flows_image, tmp_path):
    job = copy.deepcopy(stage_pod("cpu"))
    job["metadata"]["name"] = "errand"
    with serving({**environment(), **SETTINGS, "PREFECT_HOME": str(tmp_path / "prefect")}) as url:
        run = shop.ordered(url)
        values = {"PREFECT_API_URL": url, "PREFECT__FLOW_RUN_ID": run, "VITRINE_REPOSITORY": "/tmp/shop/origin"}
        pod = Pod([job], "Job", "errand", tmp_path / "pod", flows_image, values)
        shop.origin(pod.volume("tmp") / "shop", Path("/tmp/shop"), {"errand.py": shop.ERRAND})
        pod.give(pod.volume("tmp"))
        with pod.running("prefect-job") as process:
            process.wait(180)
        shard, num_links, mode = shop.told(url, run).split()
    assert shard.startswith("/work/"), pod.log("prefect-job")
    assert (num_links, mode) == ("2", "444"), "in DVC's cache and in the clone, and on the disk once"


def _worker(port):
    return {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_AUTH_STRING": "vitrine:word",
        "JOB_IMAGE": "vitrine/train:0.1.0-cpu",
        "NAMESPACE": "vitrine",
    }


def _memory_bytes(pid):
    """What the process and those it started hold together."""
    import psutil

    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
