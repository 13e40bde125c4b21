"""Each policy holds of what is rendered, and finds what is planted against it."""

import copy
import re
import tomllib

import pytest
import yaml

from tests.conftest import PROJECT, edit_params
from tests.k8s import gateway_policies, policies
from tests.k8s.check import broken
from tests.k8s.conftest import copied, render
from tests.k8s.job_templates import stage_pod
from tests.k8s.workloads import Workload, amount, named, of_kind, params_of, workloads

OF_PODS = policies.POD_POLICIES


@pytest.mark.parametrize("policy", [*policies.POLICIES, *gateway_policies.POLICIES], ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("overlay", ["production", "operator", "kind"])
def test_what_is_rendered_keeps_every_policy(documents, overlay, policy):
    assert list(policy(documents(overlay))) == []


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.__name__)
def test_so_does_the_training_on_several_nodes(documents, policy):
    assert list(policy(documents("train"))) == []


@pytest.mark.parametrize("policy", OF_PODS, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("pool", ["cpu", "gpu"])
def test_so_do_the_jobs_that_prefect_makes(pool, policy):
    assert list(policy([stage_pod(pool, gpu=1, timeout_s=60)])) == []


def test_production_renders_no_secret_and_kind_its_own_alone(documents):
    assert list(policies.no_secret_is_rendered(documents("production"))) == []
    assert list(policies.no_secret_is_rendered(documents("train"))) == []
    assert len(list(policies.no_secret_is_rendered(documents("kind")))) == 6


def container(documents, kind="StatefulSet", name="gateway"):
    return Workload(named(documents, kind, name)).spec["containers"][0]


def spec(documents, kind="StatefulSet", name="gateway"):
    return Workload(named(documents, kind, name)).spec


def workspace(documents):
    return next(one for one in spec(documents)["volumes"] if one["name"] == "workspace")


def job_disk(documents):
    return next(one for one in spec(documents, "Deployment", "worker-gpu")["initContainers"][0]["env"] if one["name"] == "JOB_DISK")


def change_params(documents, **changes):
    config = next(one for one in of_kind(documents, "ConfigMap") if one["metadata"]["name"].startswith("params-"))
    params = yaml.safe_load(config["data"]["params.yaml"])
    for knob, value in changes.items():
        *above, last = knob.split("__")
        section = params
        for word in above:
            section = section[word]
        section[last] = value
    config["data"]["params.yaml"] = yaml.safe_dump(params)


def context(documents, **changes):
    container(documents, "Deployment", "prefect")["securityContext"].update(changes)


def add(documents, kind, **about):
    documents.append({"kind": kind, "metadata": {"name": "planted", "namespace": "vitrine"}, **about})


PLANTED = {
    "nobody_is_root": [
        lambda d: spec(d)["securityContext"].pop("runAsNonRoot"),
        lambda d: spec(d)["securityContext"].update(runAsUser=0),
        lambda d: spec(d)["securityContext"].update(runAsUser="vitrine"),
        lambda d: spec(d)["securityContext"].pop("runAsGroup"),
        lambda d: context(d, runAsUser=0),
        lambda d: context(d, runAsNonRoot=False),
    ],
    "nothing_is_gained": [
        lambda d: spec(d)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
        lambda d: context(d, allowPrivilegeEscalation=True),
        lambda d: context(d, privileged=True),
        lambda d: context(d, capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}),
        lambda d: context(d, seccompProfile={"type": "Unconfined"}),
        lambda d: spec(d)["initContainers"][0]["securityContext"].pop("capabilities"),
        lambda d: spec(d).update(hostNetwork=True),
        lambda d: container(d)["ports"][0].update(hostPort=8080),
        lambda d: spec(d)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
    ],
    "images_cannot_be_written": [
        lambda d: context(d, readOnlyRootFilesystem=False),
        lambda d: container(d, "Deployment", "prefect").update(volumeMounts=[]),
        lambda d: spec(d)["volumes"].append({"name": "endless", "emptyDir": {}}),
    ],
    "tokens_are_for_workers": [
        lambda d: spec(d).pop("automountServiceAccountToken"),
        lambda d: spec(d).update(serviceAccountName="worker"),
        lambda d: spec(d, "Deployment", "worker-cpu").update(serviceAccountName="default"),
        lambda d: spec(d, "Deployment", "prefect").pop("enableServiceLinks"),
    ],
    "secrets_are_referred_to": [
        lambda d: container(d)["env"].append({"name": "VITRINE_API_KEYS", "value": "{}"}),
        lambda d: container(d, "Deployment", "prefect")["env"].append({"name": "PREFECT_SERVER_API_AUTH_STRING", "value": "a:b"}),
        lambda d: container(d)["env"].append({"name": "VITRINE_POSTGRES_DSN", "value": "postgresql://a:b@c/d"}),
    ],
    "images_are_pinned": [
        lambda d: container(d).update(image="registry.shop.example/vitrine/serve:latest"),
        lambda d: container(d).update(image="registry.shop.example:5000/vitrine/serve"),
        lambda d: container(d).update(image="serve:stable"),
        lambda d: next(c for c in of_kind(d, "ConfigMap") if "job-images" in c["metadata"]["name"])["data"].update(cpu="vitrine/train"),
    ],
    "resources_are_measured": [
        lambda d: container(d)["resources"]["requests"].pop("cpu"),
        lambda d: container(d)["resources"]["limits"].pop("memory"),
        lambda d: container(d)["resources"]["requests"].update(memory="8Gi"),
        lambda d: named(d, "StatefulSet", "gateway")["spec"]["template"]["metadata"].pop("annotations"),
        lambda d: Workload(named(d, "Deployment", "triton")).volume("shm")["emptyDir"].update(sizeLimit="3Gi"),
    ],
    "access_is_least": [
        lambda d: next(of_kind(d, "Role"))["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),
        lambda d: next(of_kind(d, "Role"))["rules"][0].update(verbs=["*"]),
        lambda d: next(of_kind(d, "Role"))["rules"].append({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}),
        lambda d: add(d, "ClusterRole", rules=[]),
        lambda d: next(of_kind(d, "RoleBinding"))["subjects"].append({"kind": "ServiceAccount", "name": "default"}),
    ],
    "the_namespace_is_restricted": [
        lambda d: next(of_kind(d, "Namespace"))["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "baseline"}),
        lambda d: named(d, "Service", "gateway")["metadata"].update(namespace="default"),
    ],
    "nothing_is_open": [
        lambda d: named(d, "Service", "gateway")["spec"].update(type="LoadBalancer"),
        lambda d: add(d, "CronJob", spec={}),
        lambda d: next(of_kind(d, "Ingress"))["spec"]["rules"][0]["http"]["paths"][0].update(path="/"),
        lambda d: next(of_kind(d, "Ingress"))["spec"].pop("tls"),
    ],
    "no_secret_is_rendered": [lambda d: add(d, "Secret", data={"key": "dmFsdWU="})],
    "probes_ask_what_they_mean": [
        lambda d: container(d)["startupProbe"]["httpGet"].update(path="/health/ready"),
        lambda d: container(d)["readinessProbe"]["httpGet"].update(path="/health/live"),
        lambda d: container(d)["livenessProbe"]["httpGet"].update(path="/health/ready"),
        lambda d: container(d).pop("startupProbe"),
        lambda d: container(d)["livenessProbe"].update(failureThreshold=1),
        lambda d: container(d)["ports"][0].update(containerPort=80),
    ],
    "every_server_is_probed": [
        lambda d: container(d, "Deployment", "triton").pop("readinessProbe"),
        lambda d: container(d, "Deployment", "worker-gpu").pop("livenessProbe"),
    ],
    "it_drains_before_it_is_killed": [
        lambda d: spec(d).update(terminationGracePeriodSeconds=30),
        lambda d: container(d).pop("lifecycle"),
        lambda d: change_params(d, serve__log__close_s=60.0),
    ],
    "one_index_has_one_writer": [
        lambda d: change_params(d, serve__index__backend="embedded"),
        lambda d: named(d, "StatefulSet", "gateway")["spec"].update(replicas=3),
        lambda d: next(of_kind(d, "HorizontalPodAutoscaler"))["spec"].update(maxReplicas=20),
        lambda d: next(of_kind(d, "HorizontalPodAutoscaler"))["spec"].update(minReplicas=1),
        lambda d: change_params(d, serve__index__replicas=1),
    ],
    "replicas_are_spread_and_kept": [
        lambda d: spec(d).pop("topologySpreadConstraints"),
        lambda d: d.remove(named(d, "PodDisruptionBudget", "gateway")),
        lambda d: named(d, "PodDisruptionBudget", "triton")["spec"].update(maxUnavailable=0),
    ],
    "state_is_on_a_disk": [
        lambda d: change_params(d, serve__state="/tmp/state"),
        lambda d: change_params(d, serve__log__max_backlog_mib=20000.0),
    ],
    "worst_pictures_fit": [
        lambda d: container(d)["resources"]["limits"].update(memory="4Gi"),
        lambda d: container(d)["resources"]["limits"].update(cpu="2"),
        lambda d: change_params(d, serve__pictures__workers=8),
    ],
    "disks_hold_the_catalogue": [
        lambda d: workspace(d).update(ephemeral={}, emptyDir={"sizeLimit": "50Gi"}),
        lambda d: job_disk(d).update(value="100Gi"),
        lambda d: change_params(d, ingest__num_shards=512),
    ],
    "pods_share_what_they_must": [
        lambda d: change_params(d, release__registry=".vitrine/registry"),
        lambda d: change_params(d, serve__inference__triton_url="127.0.0.1:8001"),
        lambda d: change_params(d, monitor__routes__pushgateway=None),
    ],
    "probes_and_prometheus_may_ask": [
        lambda d: change_params(d, serve__access__hosts=["vitrine.shop.example"]),
        lambda d: change_params(d, serve__access__public=["/health/*"]),
    ],
}
BY_NAME = {one.__name__: one for one in (*policies.POLICIES, *gateway_policies.POLICIES, policies.no_secret_is_rendered)}


def test_something_is_planted_against_every_policy():
    assert set(PLANTED) == set(BY_NAME)


@pytest.mark.parametrize(("name", "number"), [(name, number) for name, planted in PLANTED.items() for number in range(len(planted))])
def test_a_planted_breach_is_found(documents, name, number):
    changed = copy.deepcopy(documents("production"))
    PLANTED[name][number](changed)
    assert list(BY_NAME[name](changed)), "the breach was not found"


def test_a_shard_is_as_large_as_the_profile_says_and_all_of_them_hold_its_million_photos(documents):
    text = (PROJECT / "profiles/production.yaml").read_text()
    assert f"a million listings at 100 kB a photo: {gateway_policies.SHARD_BYTES / 1e9:g} GB a shard" in text
    assert params_of(documents("production"))["ingest"]["num_shards"] * gateway_policies.SHARD_BYTES >= 1_000_000 * 100e3


def test_the_readme_tells_the_disks_that_are_rendered(documents):
    told = re.findall(r"(\d+Gi) for \d+", (PROJECT / "k8s/README.md").read_text())
    claims = workspace(documents("production"))["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]
    assert told == [claims, job_disk(documents("production"))["value"]]


def test_a_training_on_several_nodes_has_the_disk_of_a_job(documents):
    assert Workload(named(documents("train"), "Job", "train")).room("work") == amount(job_disk(documents("production"))["value"])


def test_kind_with_two_replicas_of_an_embedded_index_is_found(documents):
    changed = copy.deepcopy(documents("kind"))
    named(changed, "StatefulSet", "gateway")["spec"]["replicas"] = 2
    assert list(gateway_policies.one_index_has_one_writer(changed))


def test_production_with_the_demos_params_is_found_before_it_is_applied(tmp_path):
    project = copied(tmp_path, "production")
    edit_params(project, {"serve": {"index": {"backend": "embedded"}}, "release": {"registry": ".vitrine/registry"}})
    lines = broken(render(project, "production"))
    assert [line.partition(":")[0] for line in lines] == ["one_index_has_one_writer", "pods_share_what_they_must"]


def test_own_images_have_the_projects_version(documents):
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    for overlay in ("production", "kind", "train"):
        images = {one["image"] for workload in workloads(documents(overlay)) for one in workload.containers}
        for image in images:
            if "vitrine/" in image:
                assert image.rpartition(":")[2].split("-")[0] == version, image
