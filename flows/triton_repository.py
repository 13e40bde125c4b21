"""The edge of `vitrine triton-repository`: a bundle in, a folder that Triton serves it from out."""

from pathlib import Path
from typing import get_args

from components.contract import bind, read_params
from components.errors import BadParams
from components.serve.inference.config import InferenceConfig
from components.serve.inference.repository import Backend, Layout, write_repository


def write(bundle: Path, folder: Path, backend: str, instances: int) -> list[str]:
    """The names of the models written; batches, waits and threads are those of serve.inference in params.yaml."""
    cfg = bind(InferenceConfig, "inference", read_params().get("serve", {}))
    return write_repository(bundle, folder, layout_of(cfg, backend, instances))


def layout_of(cfg: InferenceConfig, backend: str, instances: int) -> Layout:
    """What the server is told. Raises BadParams for a backend that is not known."""
    known: dict[str, Backend] = {name: name for name in get_args(Backend)}
    if backend not in known:
        raise BadParams(f"--backend {backend}: known are {', '.join(known)}")
    return Layout(known[backend], cfg.max_rows, cfg.max_wait_ms, cfg.max_queued_rows, instances, cfg.threads)
