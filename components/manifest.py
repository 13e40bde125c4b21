"""A bundle's seal: manifest.json, written last, with the digest of every other file. Its own digest names the bundle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contract import write_json
from components.errors import BadBundle
from components.fingerprint import file_digest

MANIFEST = "manifest.json"
FORMAT = 1


def folder_digest(folder: Path) -> str:
    """sha256 over the names and digests of every file below a folder."""
    lines = (f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n" for path in sorted(folder.rglob("*")) if path.is_file())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> str:
    """Writes the manifest over what lies in `folder` and returns its own digest, which names the bundle."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {p.relative_to(folder).as_posix(): {"sha256": file_digest(p), "bytes": p.stat().st_size} for p in paths}
    write_json(folder / MANIFEST, {"format": FORMAT, "files": files, **facts})
    return file_digest(folder / MANIFEST)


def verified_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, after every file's digest was found to be what it says. Raises BadBundle naming the first file that is not."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadBundle(f"{folder} is no bundle: {MANIFEST}: {error}. Make one with `dvc repro` or `make demo`") from None
    if manifest.get("format") != FORMAT:
        raise BadBundle(f"{folder}/{MANIFEST} has format {manifest.get('format')!r}, this version reads {FORMAT}")
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if unlisted := sorted(there ^ set(manifest["files"])):
        raise BadBundle(f"{folder}: {unlisted[0]} is {'not in the manifest' if unlisted[0] in there else 'missing'}")
    for name, file in sorted(manifest["files"].items()):
        if (digest := file_digest(folder / name)) != file["sha256"]:
            raise BadBundle(f"{folder}/{name} was altered: sha256 {digest[:12]}, the manifest says {file['sha256'][:12]}")
    return manifest
