"""Job templates as Prefect takes them and fills them in, and the training on several nodes as its ranks read it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from components.finetune.place import Place
from flows.dag import read_dag
from flows.pools.clone import COMMIT, REPOSITORY
from flows.pools.config import PoolsConfig
from flows.pools.runs import job_variables
from flows.server import SETTINGS, serving
from tests.conftest import PROJECT, environment
from tests.k8s import shop
from tests.k8s.images import python
from tests.k8s.job_templates import JOBS, as_kubernetes_takes_it, manifest, stage_pod, template
from tests.k8s.policies import POD_POLICIES
from tests.k8s.test_render import VERSIONS, check
from tests.k8s.workloads import Workload, named

GPU = "nvidia.com/gpu"


def stages():
    return read_dag(PROJECT / "dvc.yaml")


def variables_of(stage):
    cfg = yaml.safe_load((PROJECT / "params.yaml").read_text())["pools"]
    return job_variables(stage, "c" * 40, PoolsConfig(**cfg))


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.name)
def test_a_stages_meta_makes_its_job(stage):
    given = variables_of(stage)
    assert set(given) <= set(template(stage.pool)["variables"]["properties"]), "a variable that the template does not know changes nothing"
    pod = Workload(stage_pod(stage.pool, **given)).spec
    assert pod["activeDeadlineSeconds"] == given["timeout_s"]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"].get(GPU, 0) == resources["requests"].get(GPU, 0) == stage.gpu


def test_a_gpu_job_lies_on_a_node_that_has_them_and_shares_memory_with_its_loader():
    job = Workload(stage_pod("gpu", gpu=2))
    assert job.spec["nodeSelector"] == {f"{GPU}.present": "true"}
    assert {"key": GPU, "operator": "Exists", "effect": "NoSchedule"} in job.spec["tolerations"]
    mounts = {mount["mountPath"]: mount["name"] for mount in job.spec["containers"][0]["volumeMounts"]}
    assert job.volume(mounts["/dev/shm"])["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert job.spec["containers"][0]["resources"]["limits"][GPU] == 2


@pytest.mark.parametrize("pool", ["cpu", "gpu"])
def test_a_template_has_what_prefects_worker_refuses_to_start_without(pool):
    pod = manifest(pool)["spec"]["template"]["spec"]
    assert pod["containers"][0]["name"] == "prefect-job"
    assert (pod["parallelism"], pod["completions"], pod["restartPolicy"]) == (1, 1, "Never")


def test_a_cpu_job_asks_for_no_gpu_and_a_run_without_meta_has_no_limit():
    job = Workload(stage_pod("cpu"))
    assert GPU not in str(job.document)
    assert "activeDeadlineSeconds" not in job.spec


def test_both_pools_differ_in_the_gpu_alone():
    cpu, gpu = (Workload(stage_pod(pool)).spec for pool in ("cpu", "gpu"))
    assert set(gpu) - set(cpu) == {"nodeSelector", "tolerations"}
    assert {name: value for name, value in cpu.items() if gpu[name] != value}.keys() == {"containers", "volumes"}
    for name in set(cpu["containers"][0]) - {"resources"}:
        assert cpu["containers"][0][name] == gpu["containers"][0][name]


def test_a_clone_is_told_where_from_by_a_secret_and_at_which_commit_by_its_retraining():
    container = Workload(stage_pod("cpu", env={COMMIT: "c" * 40})).spec["containers"][0]
    assert {"secretRef": {"name": "vitrine-git"}} in container["envFrom"]
    assert REPOSITORY not in str(container.get("env"))
    assert container["workingDir"] in [mount["mountPath"] for mount in container["volumeMounts"]]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    """The API address of a Prefect server of our own."""
    home = {**environment(), "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect"))}
    with serving(home | SETTINGS) as url:
        yield url


@pytest.mark.parametrize("pool", ["cpu", "gpu"])
def test_prefects_server_takes_the_template_and_keeps_what_people_set(pool, prefect, tmp_path):
    given = environment() | {"PREFECT_API_URL": prefect, "PREFECT_HOME": str(tmp_path), "POOL": f"of-{pool}", "TEMPLATE": pool}
    for number, said in enumerate(("made", "brought up to date")):
        env = given | {"JOB_IMAGE": f"vitrine/train:{number}", "JOB_DISK": f"{number + 1}Gi", "NAMESPACE": "vitrine"}
        done = subprocess.run([sys.executable, JOBS / "register.py"], env=env, text=True, capture_output=True, check=False)
        assert said in done.stdout, done.stderr
        if number == 0:
            httpx.patch(f"{prefect}/work_pools/of-{pool}", json={"is_paused": True, "concurrency_limit": 3}).raise_for_status()
    found = httpx.get(f"{prefect}/work_pools/of-{pool}").json()
    assert (found["type"], found["is_paused"], found["concurrency_limit"]) == ("kubernetes", True, 3)
    properties = found["base_job_template"]["variables"]["properties"]
    assert (properties["image"]["default"], properties["disk"]["default"]) == ("vitrine/train:1", "2Gi")


def test_a_run_works_on_the_disk_that_its_job_has_for_it(prefect, tmp_path):
    (container,) = stage_pod("cpu")["spec"]["template"]["spec"]["containers"]
    folders = {mount["mountPath"]: tmp_path / mount["name"] for mount in container["volumeMounts"]}
    for folder in folders.values():
        folder.mkdir()
    run = shop.ordered(prefect)
    given = {"TMPDIR": "/tmp", **{one["name"]: one["value"] for one in container["env"]}}
    env = environment() | {name: re.sub(r"^/\w+", lambda mount: str(folders[mount[0]]), value) for name, value in given.items()}
    env |= {"PREFECT_API_URL": prefect, "PREFECT__FLOW_RUN_ID": run, "PYTHONPATH": str(PROJECT)}
    env |= {REPOSITORY: str(shop.origin(tmp_path / "shop", files={"errand.py": shop.ERRAND}))}
    start = folders[container["workingDir"]]
    done = subprocess.run(
        [*container["args"]], cwd=start, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180
    )
    shard, num_links, _ = shop.told(prefect, run).split()
    assert Path(shard).is_relative_to(folders["/work"]), done.stdout
    assert num_links == "2", "in DVC's cache and in the clone, and on the disk once"


WORKER = """
import asyncio, json, sys, uuid
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

async def prepared(template, values):
    async with get_client() as client:
        made = await KubernetesWorkerJobConfiguration.from_template_and_values(template, values, client=client)
    made.prepare_for_flow_run(FlowRun(id=uuid.UUID(int=1), name="finetune", flow_id=uuid.UUID(int=2)))
    return made.job_manifest

print(json.dumps(asyncio.run(prepared(*json.loads(sys.stdin.read())))))
"""


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("pool", ["cpu", "gpu"])
def test_the_real_worker_makes_the_same_job_of_it_with_nothing_secret_inside(pool, flows_image, tmp_path):
    (stage, *_) = [one for one in stages() if one.pool == pool]
    env = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_API_AUTH_STRING": "vitrine:word", "PREFECT_HOME": str(tmp_path)}
    given = json.dumps([template(pool), variables_of(stage)])
    job = json.loads(python(flows_image, WORKER, given, **env))
    pod, ours = Workload(job).spec, manifest(pool, **variables_of(stage))["spec"]["template"]["spec"]
    same = set(ours) - {"containers"}
    assert {name: pod[name] for name in same} == {name: ours[name] for name in same}
    container, our_container = pod["containers"][0], ours["containers"][0]
    for name in set(our_container) - {"args", "env"}:
        assert container[name] == our_container[name]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert told[COMMIT] == "c" * 40
    assert told["PREFECT_API_URL"] == env["PREFECT_API_URL"], "the worker's own settings"
    job = by_reference(as_kubernetes_takes_it(job))
    for version in VERSIONS:
        check(job, version)
    for policy in POD_POLICIES:
        assert list(policy([job])) == []
    assert Workload(job).part == "stage", "as networks know it"


def by_reference(job):
    """What the worker does last, when it makes the Job: the auth string by the secret that its own environment names."""
    container = Workload(job).spec["containers"][0]
    reference = {"secretKeyRef": {"name": "vitrine-prefect", "key": "auth-string"}}
    name = "PREFECT_API_AUTH_STRING"
    container["env"] = [{"name": name, "valueFrom": reference} if one["name"] == name else one for one in container["env"]]
    return job


def test_workers_name_the_secret_that_the_auth_string_of_their_jobs_comes_from(documents):
    for name in ("worker-cpu", "worker-gpu"):
        env = {one["name"]: one for one in Workload(named(documents("production"), "Deployment", name)).spec["containers"][0]["env"]}
        own = env["PREFECT_API_AUTH_STRING"]["valueFrom"]["secretKeyRef"]
        prefix = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_"
        assert (env[f"{prefix}NAME"]["value"], env[f"{prefix}KEY"]["value"]) == (own["name"], own["key"])


@pytest.mark.parametrize(("overlay", "templates"), [("production", ["cpu", "gpu"]), ("kind", ["cpu", "cpu"])])
def test_each_pool_has_its_worker_and_kind_has_no_gpu(documents, overlay, templates):
    found = [Workload(named(documents(overlay), "Deployment", f"worker-{pool}")) for pool in ("cpu", "gpu")]
    assert {stage.pool for stage in stages()} == {"cpu", "gpu"}
    env = [{one["name"]: one for one in worker.containers[0]["env"]} for worker in found]
    assert [one["POOL"]["value"] for one in env] == ["cpu", "gpu"]
    assert [one["TEMPLATE"]["value"] for one in env] == templates
    for one, worker in zip(env, found, strict=True):
        reference = one["JOB_IMAGE"]["valueFrom"]["configMapKeyRef"]
        assert reference["key"] in named(documents(overlay), "ConfigMap", reference["name"])["data"]
        assert one["POOL"] in worker.containers[1]["env"], "what is registered is what is polled"


def test_each_rank_of_a_training_on_several_nodes_finds_its_place(documents):
    job, service = (named(documents("train"), kind, "train") for kind in ("Job", "Service"))
    about, pod = job["spec"], Workload(job).spec
    assert about["completionMode"] == "Indexed", "Kubernetes then sets JOB_COMPLETION_INDEX, and the pods' names"
    assert about["completions"] == about["parallelism"], "ranks that wait for each other must all be there"
    given = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    places = [Place.of(given | {"JOB_COMPLETION_INDEX": str(index)}) for index in range(about["completions"])]
    assert [(place.rank, place.size, place.local_rank) for place in places] == [(0, 2, 0), (1, 2, 0)]
    assert {place.address for place in places} == {f"{job['metadata']['name']}-0.{service['metadata']['name']}"}
    assert {place.port for place in places} == {service["spec"]["ports"][0]["port"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"], "a rank looks for the first before that one is ready"
    assert service["spec"]["selector"].items() <= Workload(job).labels.items()


def test_the_training_on_several_nodes_has_what_a_job_of_its_pool_has(documents):
    job, stage = Workload(named(documents("train"), "Job", "train")), Workload(stage_pod("gpu"))
    for name in ("nodeSelector", "tolerations", "securityContext", "automountServiceAccountToken"):
        assert job.spec[name] == stage.spec[name]
    assert job.volume("shm") == stage.volume("shm")
    (finetune,) = [one for one in stages() if one.name == "finetune"]
    assert job.spec["activeDeadlineSeconds"] == finetune.timeout_s
    assert job.spec["containers"][0]["command"] == ["vitrine", "train-node"]


def test_a_ranks_clone_stands_at_its_commit_and_links_to_dvcs_cache(documents, tmp_path):
    (clone,) = Workload(named(documents("train"), "Job", "train")).spec["initContainers"]
    env = environment() | {REPOSITORY: str(shop.origin(tmp_path / "shop")), COMMIT: "main~0"}
    subprocess.run(clone["command"], cwd=tmp_path, env=env, check=True)
    assert (tmp_path / "clone/data/listings.dvc").exists()
    assert "hardlink,copy" in (tmp_path / "clone/.dvc/config.local").read_text()
