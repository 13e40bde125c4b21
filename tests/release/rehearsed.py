"""Bundles of the small market as if they may be released: two epochs on 160 photos need not be good enough."""

import json
import shutil
from pathlib import Path
from typing import Any

from components.manifest import MANIFEST, write_manifest


def promoted(params: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The params with a verdict and a bundle in `folder` that may be released, made once."""
    verdict, bundle = folder / "verdict.json", folder / "good"
    if not bundle.exists():
        folder.mkdir(parents=True, exist_ok=True)
        judged = json.loads(Path(params["paths"]["verdict"]).read_text())
        verdict.write_text(json.dumps(judged | {"promote": True}))
        varied(Path(params["paths"]["bundle"]), bundle)
    return {**params, "paths": {**params["paths"], "verdict": str(verdict), "bundle": str(bundle)}}


def varied(source: Path, target: Path, **facts: object) -> Path:
    """A copy that may be released, and is another release by its facts."""
    shutil.copytree(source, target)
    manifest = json.loads((target / MANIFEST).read_text())
    (target / MANIFEST).unlink()
    kept = {name: value for name, value in manifest.items() if name not in ("format", "files")}
    write_manifest(target, {**kept, "promote": True, **facts})
    return target
