"""What dvc.lock says of each stage, and whether that is true of a commit: pure, over values that git and DVC wrote."""

import hashlib
import io
import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pathspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.errors import BadWorkspace
from flows.pools import entries

Entry = Mapping[str, Any]
Entries = Mapping[str, Entry]
WRITTEN = ("outs", "metrics", "plots")


def mapping_in(data: bytes, where: str) -> dict[str, Any]:
    """A YAML mapping as DVC reads it (YAML 1.2); empty for an empty file. Raises BadWorkspace, naming `where`, for anything else."""
    try:
        document = YAML(typ="safe").load(io.BytesIO(data))
    except (YAMLError, UnicodeDecodeError) as error:
        raise BadWorkspace(f"{where} cannot be read: {error}") from None
    if document is not None and not isinstance(document, dict):
        raise BadWorkspace(f"{where} is no mapping")
    return document or {}


def entries_in(data: bytes | None, where: str) -> dict[str, Any]:
    """The entries of a dvc.lock by stage; none without one. Raises BadWorkspace where it was cut short or is none."""
    if data is None:
        return {}
    if not data.endswith(b"\n"):
        raise BadWorkspace(f"{where} was cut short: `vitrine retrain` mends it, see docs/runbook.md#locks")
    stages: dict[str, Any] = entries.parsed(data.decode("utf-8", errors="replace"))["stages"]
    return stages


def written(stages: Entries) -> bytes:
    """A dvc.lock with these entries, byte for byte as DVC writes it."""
    return entries.written({"schema": entries.SCHEMA, "stages": dict(stages)}).encode()


def joined(base: Entries, ours: Entries, theirs: Entries) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Both sides' changes since `base`, and the stages that the two sides changed to different entries: there `ours` is kept."""
    names = list(dict.fromkeys((*theirs, *ours)))
    rivals = tuple(name for name in names if theirs.get(name) not in (base.get(name), ours.get(name)) and ours.get(name) != base.get(name))
    chosen = {name: theirs.get(name) if ours.get(name) == base.get(name) else ours.get(name) for name in names}
    return {name: entry for name, entry in chosen.items() if entry is not None}, rivals


@dataclass(frozen=True)
class Source:
    """What stages are made from in one commit: dvc.yaml's stages, a params file by name, and the md5 of a path, as DVC counts it.

    The md5 is None where git does not hold the path.
    """

    stages: Mapping[str, Mapping[str, Any]]
    params: Callable[[str], Mapping[str, Any]]
    md5: Callable[[str], str | None]


def outdated(stages: Entries, source: Source) -> dict[str, str]:
    """By stage, the first thing that is other in `source`, or in the entries before it, than when the entry was made.

    Stages that dvc.yaml does not have are passed over, as DVC does.
    """
    outs = {path: out for name, entry in stages.items() for path, out in _outs(entry, source.stages.get(name, {}))}
    named = ((name, entry) for name, entry in stages.items() if name in source.stages)
    found = ((name, next(_others(entry, source.stages[name], source, outs), None)) for name, entry in named)
    return {name: other for name, other in found if other}


def _others(entry: Entry, stage: Mapping[str, Any], source: Source, outs: Mapping[str, str]) -> Iterator[str]:
    if entry.get("cmd") != stage.get("cmd"):
        yield "its command in dvc.yaml"
    for key, drawn in (("deps", _drawn(stage, ("deps",))), ("outs", _drawn(stage, WRITTEN))):
        if {item["path"] for item in entry.get(key, ())} != drawn:
            yield f"its {key} in dvc.yaml"
    for file, knobs in entry.get("params", {}).items():
        values = source.params(file)
        yield from (f"{knob} in {file}" for knob, value in knobs.items() if _value(values, knob) != value)
    if {knob for knobs in entry.get("params", {}).values() for knob in knobs} < set(_knobs(stage)):
        yield "its params in dvc.yaml"
    for dep in entry.get("deps", ()):
        path = _at(stage, dep["path"])
        now = outs.get(path) or source.md5(path)
        if now is not None and now != dep.get("md5"):
            yield path


def _outs(entry: Entry, stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((_at(stage, out["path"]), out["md5"]) for out in entry.get("outs", ()) if "md5" in out)


def _at(stage: Mapping[str, Any], path: str) -> str:
    return posixpath.normpath(posixpath.join(str(stage.get("wdir", ".")), path))


def _drawn(stage: Mapping[str, Any], keys: tuple[str, ...]) -> set[str]:
    """An item of dvc.yaml is a path, or a mapping from it to its options."""
    items = (item for key in keys for item in stage.get(key) or ())
    return {str(path) for item in items for path in (item if isinstance(item, Mapping) else [item])}


def _knobs(stage: Mapping[str, Any]) -> Iterator[str]:
    for item in stage.get("params") or ():
        yield from [item] if isinstance(item, str) else [knob for knobs in item.values() for knob in knobs or ()]


def _value(values: Mapping[str, Any], knob: str) -> Any:
    value: Any = values
    for step in knob.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return values.get(knob)
        value = value[step]
    return value


def md5_of_folder(folder: str, files: Mapping[str, bytes], ignored: str) -> str:
    """DVC's digest of a folder: the md5 of the JSON list of its files' md5 and path below it, less what .dvcignore leaves out.

    `files` are by path from where .dvcignore lies.
    """
    spec = pathspec.PathSpec.from_lines("gitignore", ignored.splitlines())
    kept = sorted((path.removeprefix(f"{folder}/"), data) for path, data in files.items() if not spec.match_file(path))
    rows = [{"md5": md5_of(data), "relpath": path} for path, data in kept]
    return md5_of(json.dumps(rows, sort_keys=True).encode()) + ".dir"


def md5_of(data: bytes) -> str:
    """DVC's digest of a file."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
