"""What dvc.lock says of single stages: taken out, packed, judged and merged. Nothing here touches the world.

A clone stands at the commit that a retraining began with, whose dvc.lock knows nothing of the stages that ran since. DVC takes a missing
dependency for an unchanged one, so a stage whose upstream has other outs by now must lose its own entry first (is_stale), or DVC would
pull its old outs and call it unchanged.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from components.errors import BadWorkspace

SCHEMA = "2.0"

Entry = Mapping[str, Any]
Lock = dict[str, Any]


def parsed(text: str) -> Lock:
    """A dvc.lock as plain values; of an empty text, one without stages. Raises BadWorkspace for anything that DVC did not write."""
    from dvc.utils.serialize import ParseError, parse_yaml  # type: ignore[import-untyped]

    try:
        lock = parse_yaml(text, "dvc.lock")
    except ParseError as error:
        raise BadWorkspace(f"dvc.lock is damaged: {error}. `git checkout dvc.lock` gives the last committed one back") from None
    if not lock:
        return {"schema": SCHEMA, "stages": {}}
    if not isinstance(lock, dict) or str(lock.get("schema")) != SCHEMA:
        raise BadWorkspace(f"dvc.lock is not of schema {SCHEMA}: was it written by another version of DVC?")
    return {**lock, "stages": lock.get("stages") or {}}


def written(lock: Mapping[str, Any]) -> str:
    """The text of dvc.lock, byte for byte as DVC writes it."""
    from dvc.utils.serialize import dumps_yaml

    return str(dumps_yaml(dict(lock)))


def entry_of(lock: Mapping[str, Any], stage: str) -> Entry | None:
    """The stage's entry; None where it has none."""
    entry: Entry | None = lock["stages"].get(stage)
    return entry


def merged(lock: Mapping[str, Any], entries: Mapping[str, Entry]) -> Lock:
    """The lock with these entries in place of its own or, for stages it does not know, after them; all others as they were."""
    return {**lock, "stages": {**lock["stages"], **copy.deepcopy(dict(entries))}}


def without(lock: Mapping[str, Any], stage: str) -> Lock:
    """The lock with no entry of the stage."""
    return {**lock, "stages": {name: entry for name, entry in lock["stages"].items() if name != stage}}


def is_stale(own: Entry, upstream: Mapping[str, Entry]) -> bool:
    """Whether what the stage was made from is certainly, or possibly, no longer what its upstream stages have made."""
    outs = {out["path"]: _digest(out) for entry in upstream.values() for out in entry.get("outs", ())}
    deps = {dep["path"]: _digest(dep) for dep in own.get("deps", ())}
    return any(_differs(path, digest, outs) for path, digest in deps.items())


def _differs(path: str, digest: str | None, outs: Mapping[str, str | None]) -> bool:
    if path in outs:
        return digest is None or digest != outs[path]
    return any(path.startswith(f"{out}/") or out.startswith(f"{path}/") for out in outs)  # part of an out: no digest to compare with


def _digest(one: Mapping[str, Any]) -> str | None:
    return next((str(one[key]) for key in ("md5", "etag", "checksum") if key in one), None)


def packed(value: Mapping[str, Any]) -> tuple[bytes, str]:
    """The value as JSON, in its own order since DVC writes entries in theirs, and the sha256 of those bytes."""
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return data, hashlib.sha256(data).hexdigest()


def unpacked(data: bytes) -> dict[str, Any]:
    """What packed() made bytes of."""
    value: dict[str, Any] = json.loads(data)
    return value
