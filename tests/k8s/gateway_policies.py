"""What must hold between the gateway as it is rendered, the params.yaml that it is given, and its own code."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from flows.serve import DRAIN_S
from tests.k8s.policies import Policy
from tests.k8s.workloads import Document, Workload, amount, named, of_kind, params_of, workloads

MARGIN_S = 5
CONNECTIONS = 100  # that PostgreSQL takes unless told otherwise
MIB, GIB = 2**20, 2**30
SHARD_BYTES = 0.4e9  # of photos, as profiles/production.yaml says beside ingest.num_shards
ROOM = 1.1  # for the tables beside the photos


def _gateway(documents: Sequence[Document]) -> Workload:
    return Workload(named(documents, "StatefulSet", "gateway"))


def _container(documents: Sequence[Document]) -> dict[str, Any]:
    found: dict[str, Any] = _gateway(documents).spec["containers"][0]
    return found


def _scaler(documents: Sequence[Document]) -> Any:
    return next(of_kind(documents, "HorizontalPodAutoscaler"), None)


def probes_ask_what_they_mean(documents: Sequence[Document]) -> Iterator[str]:
    """Ready is asked only to take the pod out of service: a gateway that builds its first index is not ready for long, and is not to be
    started again for it."""
    container = _container(documents)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    wanted = {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
    for probe, path in wanted.items():
        asked = container.get(probe, {}).get("httpGet", {})
        if asked.get("path") != path or ports.get(asked.get("port")) != 8080:
            yield f"{probe} asks {asked.get('path')} at {asked.get('port')}, not {path}"
    if "8080" not in container["command"]:
        yield "the gateway listens elsewhere"
    liveness = container.get("livenessProbe", {})
    if liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3) < 30:
        yield "a gateway that is busy for half a minute would be killed"


def every_server_is_probed(documents: Sequence[Document]) -> Iterator[str]:
    """Whatever runs for good is asked whether it lives, and what is called through a Service whether it is ready."""
    called = [one["spec"].get("selector", {}) for one in of_kind(documents, "Service")]
    for one in workloads(documents):
        probed = [container for container in one.spec["containers"] if container.get("livenessProbe")]
        if one.document["kind"] != "Job" and not probed:
            yield f"{one.name}: no livenessProbe"
        is_called = any(selector and selector.items() <= one.labels.items() for selector in called)
        if one.document["kind"] != "Job" and is_called and not any(container.get("readinessProbe") for container in probed):
            yield f"{one.name}: no readinessProbe"


def it_drains_before_it_is_killed(documents: Sequence[Document]) -> Iterator[str]:
    """The grace holds preStop, the requests in flight and the last flush of the log."""
    close_s, container = params_of(documents)["serve"]["log"]["close_s"], _container(documents)
    sleep_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if sleep_s < MARGIN_S:
        yield f"preStop of {sleep_s} s: balancers would still send requests to a gateway that takes no more"
    needed_s, grace_s = sleep_s + DRAIN_S + close_s + MARGIN_S, _gateway(documents).spec["terminationGracePeriodSeconds"]
    if grace_s < needed_s:
        yield f"killed after {grace_s} s, and may need {needed_s:g}"


def one_index_has_one_writer(documents: Sequence[Document]) -> Iterator[str]:
    """An embedded index is one replica's. Several share PostgreSQL, which has as many connections as they open."""
    index, scaler = params_of(documents)["serve"]["index"], _scaler(documents)
    replicas = _gateway(documents).document["spec"].get("replicas")
    if index["backend"] == "embedded":
        if scaler is not None or replicas != 1:
            yield f"serve.index.backend is embedded, and there would be {'an autoscaler' if scaler else replicas} of replicas, not 1"
        return
    if scaler is None or replicas is not None:
        yield "each `kubectl apply` would undo what the autoscaler did, or there is none"
        return
    least, most = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
    if not 2 <= least <= index["replicas"] <= most:
        yield f"{least} to {most} replicas, serve.index.replicas is {index['replicas']}"
    if (wanted := most * index["postgres"]["pool_size"]) > 0.9 * CONNECTIONS:
        yield f"{most} replicas open {wanted} connections, PostgreSQL takes {CONNECTIONS}"


def replicas_are_spread_and_kept(documents: Sequence[Document]) -> Iterator[str]:
    """What has replicas lies in several zones, and a node can always be drained: one of them at a time."""
    for one in workloads(documents):
        scaler = _scaler(documents)
        is_scaled = scaler is not None and scaler["spec"]["scaleTargetRef"]["name"] == one.document["metadata"]["name"]
        if not is_scaled and one.document["spec"].get("replicas", 1) < 2:
            continue
        budgets = [budget["spec"] for budget in of_kind(documents, "PodDisruptionBudget")]
        mine = [budget for budget in budgets if budget["selector"]["matchLabels"].items() <= one.labels.items()]
        if [budget.get("maxUnavailable") for budget in mine] != [1]:
            yield f"{one.name}: no disruption budget of one at a time"
        zones = [spread for spread in one.spec.get("topologySpreadConstraints", []) if spread["topologyKey"].endswith("/zone")]
        if not zones or not zones[0]["labelSelector"]["matchLabels"].items() <= one.labels.items():
            yield f"{one.name}: not spread over zones"


def state_is_on_a_disk(documents: Sequence[Document]) -> Iterator[str]:
    """What the gateway must not lose outlives the pod, with room for every backlog that params.yaml allows."""
    serve, gateway, container = params_of(documents)["serve"], _gateway(documents), _container(documents)
    state = PurePosixPath(container["workingDir"]) / serve["state"]
    above = [mount for mount in container["volumeMounts"] if state.is_relative_to(mount["mountPath"])]
    nearest = max(above, key=lambda mount: len(mount["mountPath"]), default={"name": ""})
    claim = gateway.volume(nearest["name"]).get("claim")
    if claim is None:
        yield f"serve.state, {state}, is on no claimed disk"
        return
    log, kept = serve["log"], serve["pictures"]["max_kept_mib"]
    needed = (log["max_backlog_mib"] + log["max_prediction_backlog_mib"] + log["max_answer_backlog_mib"] + kept) * MIB
    if amount(claim["resources"]["requests"]["storage"]) < 2 * needed:
        yield f"the disk has no room for backlogs of {needed / MIB:g} MiB beside index and releases"


def worst_pictures_fit(documents: Sequence[Document]) -> Iterator[str]:
    """The memory limit holds every decoder at its own limit beside the gateway: one bad picture must not take a replica down."""
    pictures, resources = params_of(documents)["serve"]["pictures"], _container(documents)["resources"]
    needed = pictures["workers"] * pictures["memory_mib"] * MIB + amount(resources["requests"]["memory"])
    if amount(resources["limits"]["memory"]) < needed:
        yield f"{pictures['workers']} decoders may take {needed / MIB:g} MiB with the gateway"
    if "cpu" in resources["limits"]:
        yield "a limit of processor time would be read as slow answers"


def disks_hold_the_catalogue(documents: Sequence[Document]) -> Iterator[str]:
    """Photos lie once on the disk of a gateway that builds the first index; twice on that of `ingest`, as they were sent and in shards."""
    photos = params_of(documents)["ingest"]["num_shards"] * SHARD_BYTES
    rooms = {"gateway": (1, _gateway(documents).room("workspace"))}
    for one in workloads(documents):
        disks = [
            variable["value"] for container in one.containers for variable in container.get("env", []) if variable["name"] == "JOB_DISK"
        ]
        rooms |= {f"a job of {one.name}": (2, amount(disk)) for disk in disks}
    for place, (times, room) in rooms.items():
        if room < ROOM * times * photos:
            yield f"{place}: {room / GIB:.0f} GiB are too few for {times} x {photos / GIB:.0f} GiB of photos"


def pods_share_what_they_must(documents: Sequence[Document]) -> Iterator[str]:
    """Registry, store and cache are in S3, and addresses in params.yaml are those of Services here."""
    params = params_of(documents)
    for knob in ("cache.url", "serve.store", "release.registry"):
        if not _at(params, knob).startswith("s3://"):
            yield f"{knob} = {_at(params, knob)}: a folder in a pod"
    served = {f"{one['metadata']['name']}:{port['port']}" for one in of_kind(documents, "Service") for port in one["spec"]["ports"]}
    addresses = {"monitor.routes.pushgateway": 80, "monitor.routes.alertmanager": 80, "monitor.probing.address": 80}
    if params["serve"]["inference"]["backend"] == "triton":
        addresses["serve.inference.triton_url"] = 8001
    for knob, port in addresses.items():
        host = str(_at(params, knob)).rpartition("//")[2].rstrip("/")
        if (host if ":" in host else f"{host}:{port}") not in served:
            yield f"{knob} = {_at(params, knob)}: no Service here"


def probes_and_prometheus_may_ask(documents: Sequence[Document]) -> Iterator[str]:
    """They come by a pod's address and without a key."""
    access = params_of(documents)["serve"]["access"]
    if access["hosts"]:
        yield "serve.access.hosts refuses Prometheus, which asks each pod by its address: let the Ingress keep hosts out"
    if missing := {"/health/*", "/metrics"} - set(access["public"]):
        yield f"serve.access.public lacks {', '.join(sorted(missing))}"


def _at(params: Mapping[str, Any], knob: str) -> str:
    found: Any = params
    for word in knob.split("."):
        found = found[word]
    return str(found)


POLICIES: tuple[Policy, ...] = (
    probes_ask_what_they_mean,
    every_server_is_probed,
    it_drains_before_it_is_killed,
    one_index_has_one_writer,
    replicas_are_spread_and_kept,
    state_is_on_a_disk,
    worst_pictures_fit,
    disks_hold_the_catalogue,
    pods_share_what_they_must,
    probes_and_prometheus_may_ask,
)
