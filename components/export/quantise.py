"""Static int8 for the image tower: scales are fixed from calibration photos, so a photo's vector does not depend on its batch."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from components.export.graphs import IMAGE_INPUT

QUANTISED = ("Conv", "MatMul", "Gemm")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self.batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {IMAGE_INPUT: batch}


def quantise(source: Path, target: Path, batches: Iterator[np.ndarray]) -> None:
    """Writes `source` with its weighted products in int8, per channel. `batches` are (B, 3, H, W) float32 calibration pixels.

    MatMuls of two activations, which are attention's, stay in fp32, and so do the products' results: rounding those again would cost
    time and closeness (docs/benchmarks.md).
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Reader(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            nodes_to_exclude=_weightless(onnx.load(str(prepared))),
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        )


def _weightless(model: onnx.ModelProto) -> list[str]:
    weights = {initializer.name for initializer in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and not weights & set(node.input)]
