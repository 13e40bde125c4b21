"""A Vitrine tower on Triton's Python backend: runs the model.onnx beside this file. Self-contained; Triton calls the class below.

Needs numpy below 2 and onnxruntime in the Python that the backend runs.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    """One instance of the tower."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the graph, after its digest was found to be what config.pbtxt says."""
        config = json.loads(args["model_config"])
        told = {name: value["string_value"] for name, value in config["parameters"].items()}
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        found = hashlib.sha256(graph.read_bytes()).hexdigest()
        if found != told["graph_sha256"]:
            raise pb_utils.TritonModelException(f"{graph} was altered: sha256 {found[:12]}, config.pbtxt says {told['graph_sha256'][:12]}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(told["threads"])
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.input = config["input"][0]["name"]
        self.outputs = [output["name"] for output in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """A response for each request. Those that Triton put together run together; where that fails, each runs alone."""
        batches = [pb_utils.get_input_tensor_by_name(request, self.input).as_numpy() for request in requests]
        try:
            return self._responses(batches)
        except Exception:
            return [self._alone(batch) for batch in batches]

    def _alone(self, batch: np.ndarray) -> Any:
        try:
            return self._responses([batch])[0]
        except Exception as error:
            told = pb_utils.TritonError(f"{type(error).__name__}: {error}")
            return pb_utils.InferenceResponse(output_tensors=[], error=told)

    def _responses(self, batches: list[np.ndarray]) -> list[Any]:
        found = self.session.run(self.outputs, {self.input: np.concatenate(batches)})
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        by_output = [np.split(values.reshape(len(values), -1), ends) for values in found]
        by_request = zip(*by_output, strict=True)
        tensors = ([pb_utils.Tensor(name, part) for name, part in zip(self.outputs, parts, strict=True)] for parts in by_request)
        return [pb_utils.InferenceResponse(output_tensors=row) for row in tensors]
