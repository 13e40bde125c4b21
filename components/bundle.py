"""The bundle: what is released, rolled back and explained. A folder whose manifest, written last, holds the digest of every other file.

image.onnx text.onnx tokenizer.json serving.json      the towers and what a caller must know of them
calibrator.json anchors.parquet                        the score's scale, and the photos that carry it to the next training
index/                                                 nearest neighbours of every item
drift_reference.parquet                                held-out items as the model saw them
golden.parquet golden_titles.parquet                   inputs with the answers they must get
model_card.md                                          for people
manifest.json                                          digests, fingerprint, data, params, metrics, promote and why
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import BadBundle
from components.fingerprint import file_digest
from components.manifest import MANIFEST, verified_manifest
from components.neighbours import NeighbourIndex
from components.towers import Towers

INDEX_FOLDER = "index"
DRIFT_REFERENCE, GOLDEN, GOLDEN_TITLES, MODEL_CARD = "drift_reference.parquet", "golden.parquet", "golden_titles.parquet", "model_card.md"


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
