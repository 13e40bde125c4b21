"""A bundle as a Triton model repository: both towers, named after the bundle's digest, each with the config that says what it is."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.contract import write_json
from components.errors import BadParams
from components.fingerprint import file_digest
from components.manifest import MANIFEST, verified_manifest
from components.serve.inference.graph import one_row_at_a_time
from components.towers import IMAGE_GRAPH, TEXT_GRAPH, Serving

MARKER, FORMAT = "vitrine.json", 1
MODEL_CODE = Path(__file__).with_name("triton_model.py")

Backend = Literal["onnxruntime", "python"]


@dataclass(frozen=True)
class Layout:
    """What the server is told. `threads` of one instance, 0 for onnxruntime's own choice; a queue beyond `max_queued` requests refuses."""

    backend: Backend
    max_rows: int
    max_wait_ms: float
    max_queued: int
    instances: int
    threads: int


@dataclass(frozen=True)
class Tensor:
    """A graph's input or output: Triton's name for its type, and its shape without the batch; a scalar has none."""

    name: str
    kind: str
    dims: tuple[int, ...]

    @property
    def served_dims(self) -> tuple[int, ...]:
        """Its shape as Triton answers it, which knows no scalar."""
        return self.dims or (1,)


@dataclass(frozen=True)
class Model:
    """One tower as the server holds it. `facts` are its config's parameters, by which a client knows it."""

    name: str
    graph: str
    input: Tensor
    outputs: tuple[Tensor, ...]
    facts: Mapping[str, str]


def models_of(release_id: str, serving: Serving) -> tuple[Model, Model]:
    """The image tower and the text tower of a bundle, as any server must hold them."""
    vector = Tensor("embedding", "TYPE_FP32", (serving.dim,))
    pixels = Tensor("pixels", "TYPE_FP32", (3, serving.image_px, serving.image_px))
    tokens = Tensor("tokens", "TYPE_INT64", (serving.max_tokens,))
    facts = {"release": release_id, "fingerprint": serving.fingerprint, "precision": serving.precision}
    return (
        Model(f"vitrine_image_{release_id[:16]}", IMAGE_GRAPH, pixels, (vector, Tensor("image_score", "TYPE_FP32", ())), facts),
        Model(f"vitrine_text_{release_id[:16]}", TEXT_GRAPH, tokens, (vector,), facts),
    )


def config_pbtxt(model: Model, layout: Layout, *, batched: bool, graph_sha256: str) -> str:
    """The model's config.pbtxt. Not `batched`: one row a run, since the graph's answers depend on what else is in the batch."""
    lines = [
        f'name: "{model.name}"',
        f'backend: "{layout.backend}"',
        f"max_batch_size: {layout.max_rows if batched else 1}",
        f"input [ {_tensor(model.input)} ]",
        *(f"output [ {_tensor(output, reshaped=layout.backend == 'onnxruntime')} ]" for output in model.outputs),
        f"instance_group [ {{ count: {layout.instances} kind: KIND_CPU }} ]",
        *([_batching(layout)] if batched else []),
        *(_parameter(name, value) for name, value in _parameters(model, layout, graph_sha256).items()),
        _warmup(model.input),
    ]
    return "\n".join(lines) + "\n"


def _tensor(tensor: Tensor, *, reshaped: bool = False) -> str:
    scalar = " reshape { shape: [ ] }" if reshaped and not tensor.dims else ""
    return f'{{ name: "{tensor.name}" data_type: {tensor.kind} dims: [ {_list(tensor.served_dims)} ]{scalar} }}'


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _batching(layout: Layout) -> str:
    policy = f"default_queue_policy {{ max_queue_size: {layout.max_queued} }}"
    return f"dynamic_batching {{ max_queue_delay_microseconds: {round(layout.max_wait_ms * 1000)} {policy} }}"


def _parameters(model: Model, layout: Layout, graph_sha256: str) -> dict[str, str]:
    own = {"threads": str(layout.threads)} if layout.backend == "python" else {}
    if layout.backend == "onnxruntime" and layout.threads:
        own = {"intra_op_thread_count": str(layout.threads)}
    return {**model.facts, "graph_sha256": graph_sha256, **own}


def _parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


def _warmup(tensor: Tensor) -> str:
    """One row of zeros before the model is called ready."""
    shape = f"data_type: {tensor.kind} dims: [ {_list(tensor.dims)} ] zero_data: true"
    return f'model_warmup [ {{ name: "one row" batch_size: 1 inputs {{ key: "{tensor.name}" value {{ {shape} }} }} }} ]'


def write_repository(bundle: Path, target: Path, layout: Layout) -> list[str]:
    """The names of the models that now lie in `target`, beside those of other bundles that were there.

    Raises BadBundle where a file of the bundle is missing or altered, BadParams where `target` holds what is no repository of ours.
    """
    verified_manifest(bundle)
    serving, release_id = Serving.read(bundle), file_digest(bundle / MANIFEST)
    models = models_of(release_id, serving)
    _check_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
        try:
            _write(partial / "new", bundle, models, layout)
            _place(partial, target, models)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise BadParams(f"the model repository {target} cannot be written: {error}") from None
    return [model.name for model in models]


def held(target: Path) -> dict[str, list[Path]]:
    """The folders of the models in a repository of ours, by release; none where there is no repository yet."""
    found: dict[str, list[Path]] = {}
    for marker in sorted(target.glob(f"*/{MARKER}")):
        found.setdefault(str(json.loads(marker.read_text(encoding="utf-8"))["release"]), []).append(marker.parent)
    return found


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise BadParams(f"{target} is a file; name a folder for the model repository")
    if target.is_dir() and any(target.iterdir()) and not _is_ours(target):
        raise BadParams(f"{target} is not empty and is no model repository that Vitrine wrote; name another folder")


def _is_ours(target: Path) -> bool:
    try:
        return bool(json.loads((target / MARKER).read_text(encoding="utf-8"))["format"] == FORMAT)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _write(folder: Path, bundle: Path, models: Sequence[Model], layout: Layout) -> None:
    for model in models:
        version = folder / model.name / "1"
        version.mkdir(parents=True)
        shutil.copy2(bundle / model.graph, version / "model.onnx")
        if layout.backend == "python":
            shutil.copyfile(MODEL_CODE, version / "model.py")
        batched = not one_row_at_a_time(version / "model.onnx")
        config = config_pbtxt(model, layout, batched=batched, graph_sha256=file_digest(version / "model.onnx"))
        (folder / model.name / "config.pbtxt").write_text(config, encoding="utf-8")
        write_json(folder / model.name / MARKER, {"format": FORMAT, "backend": layout.backend, **model.facts})
    write_json(folder / MARKER, {"format": FORMAT})


def _place(partial: Path, target: Path, models: Sequence[Model]) -> None:
    """Moves what was written into place, each model in one step: a server that watches the folder never sees half of one."""
    if not target.exists() or not any(target.iterdir()):
        (partial / "new").rename(target)
        return
    for model in models:
        if (target / model.name).exists():
            os.rename(target / model.name, partial / f"{model.name}.old")
        os.rename(partial / "new" / model.name, target / model.name)
