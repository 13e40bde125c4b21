"""The offline DAG as dvc.yaml draws it: which stage follows which, and what each one needs to run. Nothing else states an order."""

import difflib
import graphlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.contract import PARAMS, read_params
from components.errors import BadContract, BadWorkspace

DVC_YAML = Path("dvc.yaml")
META = {"pool": str, "gpu": int, "retries": int, "timeout_s": int}
UNREAD = ("foreach", "matrix", "vars")  # DVC knows these; a stage under one has no single name, or another's params
WRITTEN = ("outs", "metrics", "plots")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of dvc.yaml: its upstream stages by name, the pool that runs it, GPUs and retries (counts), and its limit in seconds."""

    name: str
    after: tuple[str, ...]
    pool: str
    gpu: int
    retries: int
    timeout_s: int


def read_dag(path: Path | str = DVC_YAML) -> tuple[Stage, ...]:
    """Every stage after its upstream ones; stages that could swap keep the order of the file.

    Raises BadWorkspace where the file is missing, BadContract for a cycle, an out that two stages write, bad `meta:`, or
    a stage that this reader cannot follow. `${...}` is taken from the params.yaml beside the file, as DVC does.
    """
    text = _text(Path(path))
    params = read_params(Path(path).with_name(PARAMS.name)) if "${" in text else {}
    return dag_of(_entries(text), params)


def dag_of(entries: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages under `stages:` in topological order, `${...}` replaced from `params`."""
    drawn = _drawn(entries, params)
    after = _upstream(drawn)
    return tuple(Stage(name=name, after=after[name], **_meta(name, drawn[name])) for name in _ordered(after))


def entries_of(text: str, params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The entry of each stage in the text of a dvc.yaml, `${...}` replaced from `params`. Raises BadContract as read_dag does."""
    return _drawn(_entries(text), params)


def _drawn(entries: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: _resolved(name, _followable(name, entry), params) for name, entry in entries.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadWorkspace(f"{path} not found: run this in the folder that holds params.yaml and dvc.yaml") from None


def _entries(text: str) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadContract(f"dvc.yaml is not valid YAML: {error}") from None
    stages = document.get("stages") if isinstance(document, dict) else None
    if not isinstance(stages, dict) or not stages:
        raise BadContract("dvc.yaml has no stages: write them under `stages:`")
    if "vars" in document:
        raise BadContract("dvc.yaml: top-level `vars:` is not read here; keep the values in params.yaml, which DVC reads by itself")
    return stages


def _followable(name: str, entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise BadContract(f"dvc.yaml: stage {name!r} must be a mapping, found {type(entry).__name__}")
    for key in UNREAD:
        if key in entry:
            raise BadContract(f"dvc.yaml: stage {name!r} uses `{key}:`, which the flow cannot follow: write its stages out one by one")
    return entry


def _resolved(name: str, value: Any, params: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\$\{([^}]*)\}", lambda match: str(_param(name, match[1].strip(), params)), value)
    if isinstance(value, dict):
        return {_resolved(name, k, params): _resolved(name, v, params) for k, v in value.items()}
    return [_resolved(name, v, params) for v in value] if isinstance(value, list) else value


def _param(name: str, key: str, params: Mapping[str, Any]) -> Any:
    value: Any = params
    for step in key.split("."):
        if not isinstance(value, Mapping) or step not in value:
            known = value if isinstance(value, Mapping) else ()
            raise BadContract(f"dvc.yaml: stage {name!r} names ${{{key}}}, which params.yaml has not{_nearest(step, known)}")
        value = value[step]
    return value


def _nearest(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else f"; known: {', '.join(sorted(known)) or 'none'}"


def _upstream(drawn: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Whose outs each stage reads: a dep is an out, lies within one, or holds one."""
    writer: dict[str, str] = {}
    for name, entry in drawn.items():
        for path in (p for key in WRITTEN for p in _paths(name, entry, key)):
            if writer.setdefault(path, name) != name:
                raise BadContract(f"dvc.yaml: {path} is an out of both {writer[path]!r} and {name!r}; one of them must write elsewhere")
    return {name: _read_from(writer, tuple(_paths(name, entry, "deps"))) for name, entry in drawn.items()}


def _read_from(writer: Mapping[str, str], deps: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(owner for path, owner in writer.items() if any(_overlap(path, dep) for dep in deps)))


def _paths(name: str, entry: Mapping[str, Any], key: str) -> Iterator[str]:
    """Normalised paths under `key`, whose items are a path, or a mapping from a path to its options."""
    items = entry.get(key) or []
    for item in items if isinstance(items, list) else [items]:
        for path in item if isinstance(item, dict) else [item]:
            if not isinstance(path, str):
                raise BadContract(f"dvc.yaml: stage {name!r} has {path!r} under {key}, which is no path")
            yield posixpath.normpath(posixpath.join(str(entry.get("wdir", ".")), path))


def _overlap(a: str, b: str) -> bool:
    return a == b or a.startswith(f"{b}/") or b.startswith(f"{a}/")


def _meta(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    meta = entry.get("meta")
    if not isinstance(meta, dict):
        raise BadContract(f"dvc.yaml: stage {name!r} has no `meta:`; it says {', '.join(META)}")
    for key in META:
        if key not in meta:
            raise BadContract(f"dvc.yaml: stage {name!r} lacks meta.{key}")
    for key, value in meta.items():
        if key not in META:
            raise BadContract(f"dvc.yaml: stage {name!r} has an unknown key meta.{key}{_nearest(str(key), META)}")
        if type(value) is not META[key]:
            raise BadContract(f"dvc.yaml: stage {name!r}: meta.{key} must be {META[key].__name__}, found {value!r}")
        if isinstance(value, int) and value < (least := 1 if key == "timeout_s" else 0):
            raise BadContract(f"dvc.yaml: stage {name!r}: meta.{key} = {value}, but the least is {least}")
    return meta


def _ordered(after: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    rank = {name: place for place, name in enumerate(after)}
    sorter = graphlib.TopologicalSorter(after)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise BadContract(f"dvc.yaml: the stages wait for each other: {' -> '.join(error.args[1])}") from None
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=rank.__getitem__)
        yield (name := ready.pop(0))
        sorter.done(name)
