"""Who may talk to whom, by rendered NetworkPolicies: a small model of what a network that keeps them does. Pure."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.k8s.workloads import Document, of_kind, workloads

NAMESPACE = "vitrine"


@dataclass(frozen=True)
class Place:
    """A pod, by namespace and labels, with the names of its ports; or, without a namespace, an address outside."""

    name: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""


def pod(name: str, namespace: str, **labels: str) -> Place:
    """A pod of another namespace."""
    return Place(name, namespace, {key.replace("_", "-"): value for key, value in labels.items()})


def outside(name: str, address: str) -> Place:
    """An address that is no pod's."""
    return Place(name, address=address)


def pods(documents: Sequence[Document]) -> list[Place]:
    """One pod of each part that is rendered."""
    found = {}
    for one in workloads(documents):
        ports = {port["name"]: port["containerPort"] for container in one.containers for port in container.get("ports", [])}
        found.setdefault(one.part, Place(one.part, NAMESPACE, one.labels, ports))
    return list(found.values())


def may_talk(policies: Sequence[Document], source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection from `source` to `target` is made: both sides must allow it. A side that no policy selects allows everything."""
    return _allows(policies, "egress", "to", source, target, target, port, protocol) and _allows(
        policies, "ingress", "from", target, source, target, port, protocol
    )


def _allows(policies: Sequence[Document], way: str, key: str, side: Place, other: Place, listener: Place, port: int, protocol: str) -> bool:
    mine = [policy["spec"] for policy in policies if _selects(policy, side, way)]
    rules = [rule for spec in mine for rule in spec.get(way) or []]
    return not mine or any(_peers(rule.get(key), other) and _ports(rule.get("ports"), listener, port, protocol) for rule in rules)


def _selects(policy: Document, place: Place, way: str) -> bool:
    of_way = way.capitalize() in policy["spec"]["policyTypes"]
    return of_way and place.namespace == policy["metadata"]["namespace"] and matches(policy["spec"]["podSelector"], place.labels)


def _peers(peers: Sequence[Mapping[str, Any]] | None, place: Place) -> bool:
    return not peers or any(_peer(peer, place) for peer in peers)


def _peer(peer: Mapping[str, Any], place: Place) -> bool:
    if block := peer.get("ipBlock"):
        kept_out = not place.address or any(_within(place.address, one) for one in block.get("except", []))
        return not kept_out and _within(place.address, block["cidr"])
    if place.namespace is None:
        return False
    labels = {"kubernetes.io/metadata.name": place.namespace}
    in_namespace = matches(peer["namespaceSelector"], labels) if "namespaceSelector" in peer else place.namespace == NAMESPACE
    return in_namespace and matches(peer.get("podSelector", {}), place.labels)


def _within(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def _ports(ports: Sequence[Mapping[str, Any]] | None, listener: Place, port: int, protocol: str) -> bool:
    return not ports or any(_port(one, listener, port, protocol) for one in ports)


def _port(one: Mapping[str, Any], listener: Place, port: int, protocol: str) -> bool:
    first = listener.ports.get(one["port"], -1) if isinstance(one["port"], str) else one["port"]
    return bool(one.get("protocol", "TCP") == protocol and first <= port <= one.get("endPort", first))


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels; an empty one takes all. Raises KeyError for an operator that is not known here."""
    holds = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(holds[one["operator"]](one["key"], one.get("values", [])) for one in selector.get("matchExpressions", []))


def policies_of(documents: Sequence[Document]) -> list[Document]:
    """The NetworkPolicies."""
    return list(of_kind(documents, "NetworkPolicy"))
