"""The outs of a workspace beside those of a run that nobody killed."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Reference:
    """What an unkilled run left: DVC's digest of each out, and the sha256 of every file in it by its path below the out."""

    digests: Mapping[str, str]
    files: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, workspace: Path) -> "Reference":
        """The outs as they lie in a finished workspace."""
        found = digests(workspace)
        return cls(found, {out: files_of(workspace / out) for out in found})


@dataclass(frozen=True)
class Finding:
    """Outs that hold a file with other bytes, and folders of whole files that DVC had not done taking away or putting back."""

    half_written: tuple[str, ...]
    in_transit: tuple[str, ...]


def digests(workspace: Path) -> dict[str, str]:
    """DVC's digest of each out, as dvc.lock has them."""
    stages = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def recorded(workspace: Path, stage: str) -> bool:
    """Whether dvc.lock says that the stage is done. One cut short by a kill says nothing."""
    try:
        return stage in yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    except (OSError, yaml.YAMLError, TypeError, KeyError):
        return False


def forget(workspace: Path, stage: str) -> None:
    """Has DVC run the stage again, and the stage begin from nothing: no entry in dvc.lock, no run cache, no work cache."""
    path = workspace / "dvc.lock"
    content = yaml.safe_load(path.read_text())
    content["stages"].pop(stage, None)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    for cache in (".dvc/cache/runs", ".vitrine/cache"):
        shutil.rmtree(workspace / cache, ignore_errors=True)


def files_of(out: Path) -> dict[str, str]:
    """The sha256 of each file of an out: of the out itself under the name `.`, else of the files below it."""
    if out.is_file():
        return {".": hashlib.sha256(out.read_bytes()).hexdigest()}
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.rglob("*")) if path.is_file()
    }


def compare(workspace: Path, reference: Reference) -> Finding:
    """How the outs that exist differ from the reference. A report that does not parse counts as half written."""
    half_written, in_transit = [], []
    for out, expected in reference.files.items():
        found = files_of(workspace / out)
        if any(expected.get(name) != digest for name, digest in found.items() if not _is_dvcs_own(name)) or not _parses(workspace / out):
            half_written.append(out)
        elif found.keys() != expected.keys() and (workspace / out).exists():
            in_transit.append(out)
    return Finding(tuple(half_written), tuple(in_transit))


def _is_dvcs_own(name: str) -> bool:
    return name.endswith(".tmp") and Path(name).name.startswith(".")  # what DVC copies is renamed when it is whole


def _parses(path: Path) -> bool:
    if path.suffix != ".json" or not path.exists():
        return True
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True
