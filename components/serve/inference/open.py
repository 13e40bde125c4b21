"""The backend that params.yaml names, opened on a bundle."""

from pathlib import Path

from components.serve.inference.backend import Inference
from components.serve.inference.config import InferenceConfig


async def open_inference(cfg: InferenceConfig, bundle_folder: Path, state: Path) -> Inference:
    """Both towers of the bundle, ready to be asked. `state` is where measured settings are kept.

    Raises BadBundle where they cannot be run or are of another model, Refused inference_failed where Triton cannot be reached.
    """
    if cfg.backend == "triton":
        from components.serve.inference.triton import open_triton

        return await open_triton(cfg, bundle_folder)
    from components.serve.inference.onnx import open_onnx

    return await open_onnx(cfg, bundle_folder, state)
