"""The bill of materials of a release, as CycloneDX JSON: its files, and the software that was installed where it was published."""

import datetime as dt
import importlib.metadata
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from components.errors import BadWorkspace
from components.release.contents import Held
from components.release.provenance import installed, normal_name

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

MODELS = (".onnx", ".safetensors")


def bill(release_id: str, files: Mapping[str, Held], at: dt.datetime) -> bytes:
    """The bill, schema 1.6. The same release, time and environment give the same bytes."""
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
    except ModuleNotFoundError:
        raise BadWorkspace("publishing a release writes its bill of materials: install vitrine[flows]") from None
    release = Component(name="vitrine-release", version=release_id, type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref=release_id)
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, release_id))
    bom.metadata.component, bom.metadata.timestamp = release, at
    held = [_file(name, file) for name, file in sorted(files.items())]
    distributions = installed()
    software = {name: _distribution(name, one) for name, one in distributions.items()}
    bom.components.update([*held, *software.values()])
    bom.register_dependency(release, [*held, *software.values()])
    for name, one in distributions.items():
        bom.register_dependency(software[name], [software[needed] for needed in _required(one) if needed in software])
    return str(JsonV1Dot6(bom).output_as_string(indent=2)).encode() + b"\n"


def _file(name: str, file: Held) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    kind = ComponentType.MACHINE_LEARNING_MODEL if name.endswith(MODELS) else ComponentType.FILE
    return Component(name=name, type=kind, bom_ref=f"file:{name}", hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)])


def _distribution(name: str, one: importlib.metadata.Distribution) -> "Component":
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        name=name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=name,
        purl=PackageURL("pypi", name=name, version=one.version),
        licenses=_licenses(one.metadata),
    )


def _licenses(metadata: Any) -> Iterable[Any]:
    from cyclonedx.factory.license import LicenseFactory

    said = metadata.get("License-Expression") or metadata.get("License")
    return [LicenseFactory().make_from_string(said)] if said and "\n" not in said else []


def _required(one: importlib.metadata.Distribution) -> list[str]:
    """Names of what it needs here, without what only its extras need."""
    from packaging.requirements import InvalidRequirement, Requirement

    names = []
    for line in one.requires or ():
        try:
            needed = Requirement(line)
        except InvalidRequirement:
            continue
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            names.append(normal_name(needed.name))
    return names
