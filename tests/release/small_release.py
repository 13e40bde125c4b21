"""Bundles of a few hundred bytes for tests of the registry: the kinds of files that a real one has, and nothing that could be served."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.manifest import write_manifest
from components.objects import ObjectStore
from components.release import published
from components.release.contents import Held
from components.release.provenance import Provenance
from components.release.published import Attached, Published
from components.release.registry import Registry

AT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
FILES: Mapping[str, bytes] = {
    "image.onnx": b"\x08\x08 the image tower",
    "text.onnx": b"\x08\x08 the text tower",
    "tokenizer.json": b'{"model": {}}',
    "serving.json": b'{"dim": 16}',
    "calibrator.json": b'{"knots": []}',
    "golden.parquet": b"PAR1 golden PAR1",
    "index/index.faiss": b"IxF2 vectors",
    "index/items.parquet": b"PAR1 items PAR1",
    "model_card.md": "# カード\n".encode(),
}


def bundle(folder: Path, word: str = "a", files: Mapping[str, bytes] = FILES, **facts: Any) -> Path:
    """The folder, a bundle; another word gives another release."""
    for name, data in {**files, "image.onnx": files.get("image.onnx", b"\x08") + word.encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    made_from = {"data": {"listings": "1" * 64}, "params": {"export": {"dim": 16}}}
    write_manifest(folder, {"promote": True, "reasons": ["passed: all of it"], **made_from, **facts})
    return folder


def provenance(**facts: Any) -> Provenance:
    """Of nobody."""
    known: dict[str, Any] = {"git_commit": "c" * 40, "git_dirty": False, "data": {}, "data_digest": "d" * 64, "params": {}}
    known |= {"builder": "test", "python": "3.11", "platform": "test", "packages": {}, "gathered_at": AT}
    return Provenance(**(known | facts))


def no_bill(release_id: str, files: Mapping[str, Held], at: dt.datetime) -> bytes:
    """A bill of materials that takes no time."""
    return json.dumps({"of": release_id}).encode()


def publish(registry: Registry, folder: Path) -> str:
    """The release's id."""
    return registry.publish(folder, provenance(), bill=no_bill)


def laid(store: ObjectStore, data_of: Mapping[str, bytes], /, **changes: Any) -> str:
    """The id of a release that nobody published: its files and records, written by a hand that follows no rule.

    `changes` replace entries of the manifest.
    """
    held = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in data_of.items()}
    manifest = json.dumps({"format": 1, "promote": True, "files": held, **changes}).encode()
    release_id = hashlib.sha256(manifest).hexdigest()
    for name, data in data_of.items():
        if ".." not in name and not name.startswith("/"):
            store.put(published.file_key(release_id, name), data)
    store.put(published.file_key(release_id, "manifest.json"), manifest)
    named = {} if "files" in changes else held
    record = record_of(release_id, {**named, "manifest.json": {"sha256": release_id, "bytes": len(manifest)}})
    store.put(published.record_key(release_id), record)
    return release_id


def record_of(release_id: str, held: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A release's own record."""
    about = Attached(key=f"{published.about_key(release_id)}/x/none.json", sha256="0" * 64, bytes=0)
    whole = Published(release_id=release_id, published_at=AT, files={}, provenance=about, sbom=about)
    return json.dumps({**whole.model_dump(mode="json"), "files": held}).encode()
