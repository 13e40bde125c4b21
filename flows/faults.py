"""Bad releases for rehearsals: bugs that offline evaluation has not seen, made from what the last run of the line left.

Each is a whole bundle by the line's own stages, with consistent digests and `promote: true`, since the bug comes in after `evaluate` had
its say. Its manifest says under `rehearsal` what was broken, so that nobody takes it for a real one; no gate or judge reads that.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import pyarrow as pa

from components import schema
from components.contract import bind, path_of, sections_of
from components.embed.component import EmbedConfig, embed
from components.errors import BadData, BadParams
from components.fingerprint import file_digest
from components.index.component import index
from components.manifest import MANIFEST, write_manifest
from components.neighbours import IndexConfig
from components.objects import FolderStore
from components.reference.component import ReferenceConfig, reference
from components.shards import read_shards, write_shards
from components.towers import IMAGE_GRAPH, SERVING

Kind = Literal["shuffled", "preprocessing", "slow"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SLOW_MS = 200.0
MANIFEST_OWN = ("format", "files")

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """A bad release: its bundle, what is broken in it, and by how much its answers are late, which the gateway has to play (in ms)."""

    kind: Kind
    about: str
    bundle: Path
    delay_ms: float = 0.0


def chosen(seed: int) -> Kind:
    """One of the three kinds; the same seed gives the same."""
    return KINDS[int(np.random.default_rng([seed, 3]).integers(len(KINDS)))]


def named(name: str) -> Kind:
    """The kind of that name. Raises BadParams where there is none."""
    if name not in KINDS:
        raise BadParams(f"{name!r} is no kind of bad release: there are {', '.join(KINDS)}")
    return name


def make(kind: Kind, params: Params, folder: Path, seed: int) -> Fault:
    """The bad release in `folder`, which is made anew, from the tables and models of the workspace here. Raises VitrineError where they
    are not there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return _MAKERS[kind](params, folder, seed)


def shuffled(params: Params, folder: Path, seed: int) -> Fault:
    """The vectors of the largest category stand at other items of it, as where ids were sorted and rows were not: all other checks hold."""
    listings, embeddings = path_of("listings", params), path_of("embeddings", params)
    category = {row["item_id"]: row["category"][0] for row in read_shards(listings, ["item_id", "category"]).to_pylist() if row["category"]}
    table, name = read_shards(embeddings), _largest(list(category.values()))
    rows = np.flatnonzero([category.get(item_id) == name for item_id in table["item_id"].to_pylist()])
    order = np.arange(len(table))
    order[rows] = np.random.default_rng([seed, 4]).permutation(rows)
    place = table.schema.get_field_index("vector")
    wrong = table.set_column(place, table.schema.field("vector"), table["vector"].take(pa.array(order)))
    dim = table.schema.field("vector").type.list_size
    write_shards(folder / "embeddings", wrong, schema.embeddings(dim), num_shards=1)
    bundle = _bundle(params, folder, index_of=folder / "embeddings", embeddings=embeddings, exported=path_of("exported", params))
    return _signed(Fault("shuffled", f"the vectors of {len(rows):,} items of {name} stand at other items of it", bundle))


def preprocessing(params: Params, folder: Path, seed: int) -> Fault:
    """The image tower is given pixels of 0 to 255 where it was taught on -1 to 1: a new fingerprint, and golden answers with the same
    mistake."""
    exported, embeddings = folder / "exported", folder / "embeddings"
    shutil.copytree(path_of("exported", params), exported)
    _stretch_pixels(exported / IMAGE_GRAPH)
    serving = json.loads((exported / SERVING).read_text(encoding="utf-8"))
    serving["fingerprint"] = hashlib.sha256(f"{serving['fingerprint']} 0 to 255".encode()).hexdigest()[:16]
    (exported / SERVING).write_text(json.dumps(serving, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    embeddings.mkdir()
    tables = path_of("listings", params), path_of("images", params)
    embed(exported, *tables, embeddings, cfg=bind(EmbedConfig, "embed", params), store=FolderStore(folder / "cache"))
    bundle = _bundle(params, folder, index_of=embeddings, embeddings=embeddings, exported=exported)
    return _signed(Fault("preprocessing", "pixels reach the image tower as 0 to 255, not as the -1 to 1 it was taught on", bundle))


def slow(params: Params, folder: Path, seed: int) -> Fault:
    """The bundle as it is; the gateway is told to answer late with it."""
    bundle = Path(shutil.copytree(path_of("bundle", params), folder / "bundle"))
    return _signed(Fault("slow", f"its answers come {SLOW_MS:g} ms late", bundle, SLOW_MS))


_MAKERS: Mapping[Kind, Callable[[Params, Path, int], Fault]] = {"shuffled": shuffled, "preprocessing": preprocessing, "slow": slow}


def digest(fault: Fault) -> str:
    """The release's id, which is that of its manifest."""
    return file_digest(fault.bundle / MANIFEST)


def _largest(names: list[str]) -> str:
    if not names:
        raise BadData("no item has a category: there is nothing to shuffle")
    return max(sorted(set(names)), key=names.count)


def _bundle(params: Params, folder: Path, *, index_of: Path, embeddings: Path, exported: Path) -> Path:
    """A bundle by the stages `index` and `reference`, whose own tables and verdict are the workspace's."""
    index(path_of("validated_vectors", params), index_of, folder / "index", cfg=bind(IndexConfig, "index", params))
    listings, images, splits, verdict = (path_of(name, params) for name in ("listings", "images", "splits", "verdict"))
    cfg = bind(ReferenceConfig, "reference", params)
    tables = (listings, images, splits, verdict)
    reference(exported, embeddings, folder / "index", *tables, folder / "bundle", cfg=cfg, params=sections_of(params))
    return folder / "bundle"


def _signed(fault: Fault) -> Fault:
    """The fault, after its manifest says what it is. Raises BadData where the bundle that it was made of may not be released itself."""
    manifest = json.loads((fault.bundle / MANIFEST).read_text(encoding="utf-8"))
    if not manifest.get("promote"):
        raise BadData("the workspace's bundle has promote: false, so nothing made of it may be released: run `vitrine retrain`")
    (fault.bundle / MANIFEST).unlink()
    facts = {name: value for name, value in manifest.items() if name not in MANIFEST_OWN}
    write_manifest(fault.bundle, facts | {"rehearsal": {"kind": fault.kind, "about": fault.about}})
    return fault


def _stretch_pixels(path: Path) -> None:
    """Has the graph turn pixels of -1 to 1 into 0 to 255 before anything else."""
    model = onnx.load(path)
    graph, pixels = model.graph, model.graph.input[0].name
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == pixels:
                node.input[place] = "stretched_pixels"
    for name, value in (("pixels_up", 1.0), ("pixels_by", 127.5)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.float32), name))
    graph.node.insert(0, onnx.helper.make_node("Mul", ["raised_pixels", "pixels_by"], ["stretched_pixels"]))
    graph.node.insert(0, onnx.helper.make_node("Add", [pixels, "pixels_up"], ["raised_pixels"]))
    onnx.save(model, path)
