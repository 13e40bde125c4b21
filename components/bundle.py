"""The bundle: what is released, rolled back and explained. A folder whose manifest, written last, holds the digest of every other file.

image.onnx text.onnx tokenizer.json serving.json      the towers and what a caller must know of them
calibrator.json anchors.parquet                        the score's scale, and the photos that carry it to the next training
index/                                                 nearest neighbours of every item
drift_reference.parquet                                held-out items as the model saw them
golden.parquet golden_titles.parquet                   inputs with the answers they must get
model_card.md                                          for people
manifest.json                                          digests, fingerprint, data, params, metrics, promote and why
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract import write_json
from components.errors import BadBundle
from components.fingerprint import file_digest
from components.neighbours import NeighbourIndex
from components.towers import Towers

MANIFEST = "manifest.json"
INDEX_FOLDER = "index"
DRIFT_REFERENCE, GOLDEN, GOLDEN_TITLES, MODEL_CARD = "drift_reference.parquet", "golden.parquet", "golden_titles.parquet", "model_card.md"
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


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked: its manifest, towers and index, all of one fingerprint."""

    folder: Path
    digest: str
    manifest: dict[str, Any]
    towers: Towers
    index: NeighbourIndex

    @classmethod
    def open(cls, folder: Path, *, threads: int = 0) -> "Bundle":
        """The bundle in `folder`. Raises BadBundle where a file is missing, altered or not listed, or fingerprints differ."""
        manifest = verified_manifest(folder)
        towers, index = Towers.open(folder, threads=threads), NeighbourIndex.open(folder / INDEX_FOLDER)
        found = {"manifest": manifest["fingerprint"], "towers": towers.serving.fingerprint, "index": index.fingerprint}
        if len(set(found.values())) > 1:
            raise BadBundle(f"{folder} mixes vector spaces: {', '.join(f'{k} {v}' for k, v in found.items())}; run `dvc repro`")
        return cls(folder, file_digest(folder / MANIFEST), manifest, towers, index)


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
