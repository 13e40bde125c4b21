"""Rendered documents as the policies read them: workloads, their pods and containers, wherever a kind of document keeps them."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

Document = Mapping[str, Any]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times sooner where libyaml is there
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@dataclass(frozen=True)
class Workload:
    """A document that makes pods. `spec` is the pods', `labels` and `annotations` too."""

    document: Document

    @property
    def name(self) -> str:
        """Kind and name."""
        about = self.document["metadata"]
        return f"{self.document['kind']}/{about.get('name') or about.get('generateName', '').rstrip('-')}"

    @property
    def template(self) -> Document:
        """The pods' own document."""
        found: Document = self.document["spec"]["template"]
        return found

    @property
    def spec(self) -> dict[str, Any]:
        """What the pods are made of."""
        found: dict[str, Any] = self.template["spec"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        """The pods' labels."""
        return dict(self.template["metadata"].get("labels", {}))

    @property
    def part(self) -> str:
        """Which part of the whole the pods are, as networks know them; empty where they do not say."""
        return self.labels.get("vitrine/part", "")

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of them, those that run before the others too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def volume(self, name: str) -> Document:
        """The volume, a claim of a StatefulSet too; empty where there is none."""
        claims = [{"name": one["metadata"]["name"], "claim": one["spec"]} for one in self.document["spec"].get("volumeClaimTemplates", [])]
        return next((one for one in [*self.spec.get("volumes", []), *claims] if one["name"] == name), {})

    def room(self, name: str) -> float:
        """What the volume holds, in bytes: an emptyDir, or a claim that comes and goes with the pod."""
        volume = self.volume(name)
        claim = volume.get("ephemeral", {}).get("volumeClaimTemplate", {}).get("spec")
        return amount(claim["resources"]["requests"]["storage"] if claim else volume["emptyDir"]["sizeLimit"])


def workloads(documents: Sequence[Document]) -> list[Workload]:
    """Every document that makes pods."""
    return [Workload(one) for one in documents if one["kind"] in KINDS]


def of_kind(documents: Sequence[Document], *kinds: str) -> Iterator[Document]:
    """The documents of these kinds."""
    return (one for one in documents if one["kind"] in kinds)


def named(documents: Sequence[Document], kind: str, name: str) -> Any:
    """The document of that kind and name."""
    return next(one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name)


def params_of(documents: Sequence[Document]) -> dict[str, Any]:
    """The params.yaml that the gateway is given."""
    found = next(one for one in of_kind(documents, "ConfigMap") if one["metadata"]["name"].startswith("params-"))
    return copy.deepcopy(_params(found["data"]["params.yaml"]))


@cache
def _params(text: str) -> dict[str, Any]:
    params: dict[str, Any] = yaml.load(text, LOADER)
    return params


def amount(text: str | float) -> float:
    """A quantity of Kubernetes, such as 500m or 1Gi, as a number of cores or bytes."""
    word = str(text)
    unit = word.lstrip("0123456789.")
    return float(word.removesuffix(unit)) * UNITS[unit]
