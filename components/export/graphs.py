"""The two towers as ONNX graphs: photo to (embedding, image_score), and tokens to embedding. One projection serves both.

Shape suffixes: B rows, D trunk width, K served width, T tokens.
"""

import copy
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from transformers import SiglipVisionModel

from components.head import ScoreHead, features, layers_of, pooled
from components.siglip import Encoder

OPSET = 18
IMAGE_INPUT, IMAGE_OUTPUTS = "pixels", ("embedding", "image_score")
TEXT_INPUT, TEXT_OUTPUT = "tokens", "embedding"


class ImageGraph(nn.Module):
    """(B, 3, H, W) pixels in [-1, 1] to (B, K) unit vectors and (B,) uncalibrated scores in [0, 1].

    The head reads the trunk's layers on their way, or those of a trunk of its own.
    """

    projection_DK: Tensor

    def __init__(self, encoder: Encoder, head: ScoreHead, own_trunk: SiglipVisionModel | None, projection_DK: Tensor) -> None:
        super().__init__()
        self.trunk, self.head, self.own_trunk = encoder.vision_model, head, own_trunk
        self.register_buffer("projection_DK", projection_DK)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """embedding and image_score."""
        kept = layers_of(self.trunk, pixels)
        read = kept if self.own_trunk is None else layers_of(self.own_trunk, pixels)
        score_B = torch.sigmoid(self.head(features(read, self.head.shape.layers)))
        return _project(pooled(self.trunk, kept[-1]), self.projection_DK), score_B


class TextGraph(nn.Module):
    """(B, T) token ids to (B, K) unit vectors."""

    projection_DK: Tensor

    def __init__(self, encoder: Encoder, projection_DK: Tensor) -> None:
        super().__init__()
        self.tower = encoder.text_model
        self.register_buffer("projection_DK", projection_DK)

    def forward(self, tokens: Tensor) -> Tensor:
        """embedding."""
        return _project(self.tower(input_ids=tokens).pooler_output, self.projection_DK)


def _project(vector_BD: Tensor, projection_DK: Tensor) -> Tensor:
    unit_BD = nn.functional.normalize(vector_BD, dim=-1)
    return nn.functional.normalize(unit_BD @ projection_DK, dim=-1)


def private_trunk(encoder: Encoder, state: dict[str, Tensor]) -> SiglipVisionModel:
    """A copy of the encoder's trunk with other weights."""
    trunk: SiglipVisionModel = copy.deepcopy(encoder.vision_model)
    trunk.load_state_dict(state)
    trunk.train(False)
    return trunk


def export_image(graph: ImageGraph, image_px: int, path: Path) -> None:
    """Writes the image tower. Traced with two photos: with one, the pooling head would keep that batch size for good."""
    _export(graph, torch.zeros(2, 3, image_px, image_px), IMAGE_INPUT, IMAGE_OUTPUTS, path)


def export_text(graph: TextGraph, max_tokens: int, path: Path) -> None:
    """Writes the text tower."""
    _export(graph, torch.zeros(2, max_tokens, dtype=torch.long), TEXT_INPUT, (TEXT_OUTPUT,), path)


def _export(graph: nn.Module, example: Tensor, name: str, outputs: tuple[str, ...], path: Path) -> None:
    """Writes a graph of one input, named as forward names it, whose first axis is free."""
    shapes = {name: {0: torch.export.Dim("batch")}}
    options = {"dynamo": True, "opset_version": OPSET, "external_data": False, "verbose": False}
    program = torch.onnx.export(graph.eval(), (example,), input_names=[name], dynamic_shapes=shapes, **options)  # type: ignore[arg-type]
    assert program is not None
    _name_outputs(program, outputs)
    _write(program.model_proto, path)


def _name_outputs(program: torch.onnx.ONNXProgram, names: tuple[str, ...]) -> None:
    """Names the graph's outputs, after moving inner values out of the way: the exporter calls a position embedding `embedding` too."""
    graph = program.model.graph
    for value in [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]:
        if value.name in names:
            value.name = f"{value.name}.inner"
    for output, name in zip(graph.outputs, names, strict=True):
        output.name = name


def _write(model: onnx.ModelProto, path: Path) -> None:
    """Saves the graph without the traces of the exporting machine: stack traces name its folders, and would change the digest."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
