"""What must hold of rendered documents. Each policy says what breaks it, in words; nothing where it holds."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.k8s.workloads import Document, Workload, amount, of_kind, workloads

Policy = Callable[[Sequence[Document]], Iterator[str]]

SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|DSN|SALT|AUTH|CREDENTIAL|DATABASE|REPOSITORY|WEBHOOK")
NAMES_ONLY = re.compile(r"_SECRET_(NAME|KEY)$")  # of secrets, not secrets
PINNED = re.compile(r"(@sha256:[0-9a-f]{64}|:(?=[\w.-]*\d)(?!latest)[\w.-]+)$")
SOURCES = ("configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim", "downwardAPI", "ephemeral", "claim")
NAMESPACE = "vitrine"
MOVED = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")


def nobody_is_root(documents: Sequence[Document]) -> Iterator[str]:
    """Pods run under a number that is not 0, so that the kubelet can tell without asking the image; no container says otherwise."""
    for one in workloads(documents):
        whole = one.spec.get("securityContext", {})
        if whole.get("runAsNonRoot") is not True:
            yield f"{one.name}: runAsNonRoot is not true"
        for place, context in _contexts(one):
            if context.get("runAsNonRoot") is False or not isinstance(context.get("runAsUser", whole.get("runAsUser")), int):
                yield f"{place}: no number to run as"
            if 0 in (context.get("runAsUser"), context.get("runAsGroup"), whole.get("runAsUser"), whole.get("runAsGroup", 0)):
                yield f"{place}: user or group 0"


def _contexts(one: Workload) -> Iterator[tuple[str, dict[str, Any]]]:
    for container in one.containers:
        yield f"{one.name}/{container['name']}", container.get("securityContext", {})


def nothing_is_gained(documents: Sequence[Document]) -> Iterator[str]:
    """No privilege, no capability, no system call beyond the runtime's default, nothing of the node."""
    for one in workloads(documents):
        if one.spec.get("securityContext", {}).get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{one.name}: seccompProfile is not RuntimeDefault"
        yield from (f"{one.name}: {word}" for word in MOVED if one.spec.get(word))
        for place, context in _contexts(one):
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield f"{place}: privilege can be gained"
            if context.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{place}: capabilities are kept"
            if "seccompProfile" in context or "procMount" in context:
                yield f"{place}: a profile of its own"
        for container in one.containers:
            yield from (f"{one.name}: hostPort" for port in container.get("ports", []) if port.get("hostPort"))
        for volume in one.spec.get("volumes", []):
            if not set(volume) & set(SOURCES):
                yield f"{one.name}: volume {volume['name']} is of the node, or of a kind that is not known"


def images_cannot_be_written(documents: Sequence[Document]) -> Iterator[str]:
    """Root file systems are read-only; what is written to is mounted, /tmp at least, and no emptyDir can fill the node."""
    for one in workloads(documents):
        for place, context in _contexts(one):
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{place}: root file system can be written"
        for container in one.containers:
            mounted = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
            if not mounted & {"/tmp", "/data"}:
                yield f"{one.name}/{container['name']}: nowhere to write"
        for volume in one.spec.get("volumes", []):
            if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
                yield f"{one.name}: volume {volume['name']} has no sizeLimit"


def tokens_are_for_workers(documents: Sequence[Document]) -> Iterator[str]:
    """Workers alone may ask the API server; no pod gets the addresses of services as variables, which Prefect would read as settings."""
    for one in workloads(documents):
        if (one.spec.get("automountServiceAccountToken") is not False) != (one.part == "worker"):
            yield f"{one.name}: automountServiceAccountToken is {one.spec.get('automountServiceAccountToken')}"
        if (one.spec.get("serviceAccountName") or "default") != ("worker" if one.part == "worker" else "default"):
            yield f"{one.name}: service account {one.spec['serviceAccountName']}"
        if one.spec.get("enableServiceLinks") is not False:
            yield f"{one.name}: enableServiceLinks"


def secrets_are_referred_to(documents: Sequence[Document]) -> Iterator[str]:
    """No variable that is called like a secret has its value in the document."""
    for one in workloads(documents):
        for container in one.containers:
            for variable in container.get("env", []):
                name = variable["name"]
                if SECRET.search(name) and not NAMES_ONLY.search(name) and "value" in variable:
                    yield f"{one.name}/{container['name']}: {name} has its value here"


def no_secret_is_rendered(documents: Sequence[Document]) -> Iterator[str]:
    """Secrets come from elsewhere. (kind alone renders throwaway ones.)"""
    yield from (f"Secret/{one['metadata']['name']}" for one in of_kind(documents, "Secret"))


def images_are_pinned(documents: Sequence[Document]) -> Iterator[str]:
    """By digest, or by a tag that names a version."""
    for one in workloads(documents):
        for container in one.containers:
            if not PINNED.search(container["image"].rpartition("/")[2]):
                yield f"{one.name}/{container['name']}: {container['image']}"
    for config in of_kind(documents, "ConfigMap"):
        if config["metadata"]["name"].startswith("job-images"):
            yield from (f"job image {image}" for image in config["data"].values() if not PINNED.search(image.rpartition("/")[2]))


def resources_are_measured(documents: Sequence[Document]) -> Iterator[str]:
    """Each container asks for processor and memory and is bounded in memory; the pod says by which measurement, or that there is none."""
    for one in workloads(documents):
        measured = one.template["metadata"].get("annotations", {}).get("vitrine/measured", "")
        if not re.search(r"docs/benchmarks\.md|k8s/README\.md|not measured", measured):
            yield f"{one.name}: the annotation vitrine/measured names no measurement"
        for container in one.containers:
            place, asked = f"{one.name}/{container['name']}", container.get("resources", {})
            requests, limits = asked.get("requests", {}), asked.get("limits", {})
            if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
                yield f"{place}: requests of cpu and memory, or the limit of memory, are missing"
            elif amount(requests["memory"]) > amount(limits["memory"]):
                yield f"{place}: asks for more memory than it may have"
            elif _shared_bytes(one, container) > amount(limits["memory"]) / 2:
                yield f"{place}: shared memory counts as memory, and would be more than half of it"


def _shared_bytes(one: Workload, container: dict[str, Any]) -> float:
    volumes = [one.volume(mount["name"]).get("emptyDir", {}) for mount in container.get("volumeMounts", [])]
    return sum(amount(volume.get("sizeLimit", 0)) for volume in volumes if volume.get("medium") == "Memory")


def access_is_least(documents: Sequence[Document]) -> Iterator[str]:
    """One Role, in the namespace: Jobs are made, watched and deleted, pods and their logs read."""
    allowed = {"jobs": {"create", "get", "list", "watch", "delete"}, "pods": {"get", "list", "watch"}, "pods/log": {"get"}}
    yield from (f"{one['kind']}/{one['metadata']['name']}" for one in of_kind(documents, "ClusterRole", "ClusterRoleBinding"))
    for role in of_kind(documents, "Role"):
        for rule in role["rules"]:
            for resource in rule["resources"]:
                if more := set(rule["verbs"]) - allowed.get(resource, set()):
                    yield f"Role/{role['metadata']['name']}: {', '.join(sorted(more))} of {resource}"
    for binding in of_kind(documents, "RoleBinding"):
        if [one["name"] for one in binding["subjects"]] != ["worker"] or binding["roleRef"]["kind"] != "Role":
            yield f"RoleBinding/{binding['metadata']['name']}: not of the worker, or of a ClusterRole"


def the_namespace_is_restricted(documents: Sequence[Document]) -> Iterator[str]:
    """The API server refuses pods that break the restricted profile, and all that is here lies in that namespace."""
    for space in of_kind(documents, "Namespace"):
        if space["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace/{space['metadata']['name']}: restricted is not enforced"
    for one in documents:
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") != NAMESPACE:
            yield f"{one['kind']}/{one['metadata'].get('name')}: in namespace {one['metadata'].get('namespace')}"


def nothing_is_open(documents: Sequence[Document]) -> Iterator[str]:
    """Services are the cluster's own, and what is due is Prefect's to start."""
    for one in of_kind(documents, "Service"):
        if one["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"Service/{one['metadata']['name']}: {one['spec']['type']}"
    yield from (f"CronJob/{one['metadata']['name']}" for one in of_kind(documents, "CronJob"))
    for one in of_kind(documents, "Ingress"):
        for rule in one["spec"]["rules"]:
            if not rule.get("host") or "tls" not in one["spec"]:
                yield f"Ingress/{one['metadata']['name']}: no host, or no TLS"
            yield from (f"Ingress: {path['path']}" for path in rule["http"]["paths"] if not path["path"].startswith("/v1/"))


POD_POLICIES: tuple[Policy, ...] = (
    nobody_is_root,
    nothing_is_gained,
    images_cannot_be_written,
    tokens_are_for_workers,
    secrets_are_referred_to,
    images_are_pinned,
    resources_are_measured,
)
POLICIES: tuple[Policy, ...] = (*POD_POLICIES, access_is_least, the_namespace_is_restricted, nothing_is_open)
