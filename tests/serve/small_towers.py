"""Towers of a few ONNX nodes, with places where a real runtime stumbles: a white picture and one word break them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from components.calibrator import CALIBRATOR, Calibrator
from components.contract import bind, read_params, write_json
from components.images import digest
from components.manifest import write_manifest
from components.serve.inference.config import InferenceConfig
from components.towers import IMAGE_GRAPH, SERVING, TEXT_GRAPH, TOKENIZER, Serving
from tests.conftest import PROJECT

SIDE_PX, DIM, MAX_TOKENS = 32, 16, 4
WORDS = ("</s>", "<unk>", "red", "blue", "mug", "shoe", "poison")  # the last has no row in the table


def write_towers(folder: Path, *, poison: str = "none", seed: int = 0, **changes: Any) -> Path:
    """A bundle's towers with a manifest. `poison` is what a white picture does: none, raises, nan, or long (twice the length)."""
    folder.mkdir(parents=True, exist_ok=True)
    write_image_tower(folder / IMAGE_GRAPH, poison, seed)
    write_text_tower(folder / TEXT_GRAPH)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / TOKENIZER))
    Calibrator([0.0, 0.5, 1.0], [0.0, 0.8, 1.0]).write(folder / CALIBRATOR)
    facts = {"fingerprint": f"{seed:016x}", "dim": DIM, "image_px": SIDE_PX, "max_tokens": MAX_TOKENS, "pad_id": 0}
    serving = Serving(**facts | {"precision": "fp32", "preprocessing": digest()} | changes)
    write_json(folder / SERVING, dataclasses.asdict(serving))
    write_manifest(folder, {"fingerprint": serving.fingerprint})
    return folder


def write_image_tower(path: Path, poison: str, seed: int) -> None:
    """A turned thumbnail; the score is the mean brightness."""
    turn = np.random.default_rng(seed).normal(size=(48, DIM)).astype(np.float32)
    values = {"turn": turn, "one": np.ones(1, np.float32), "nearly_white": np.float32(0.98), "zero": np.float32(0)}
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("MatMul", ["flat", "turn"], ["turned"]),
        helper.make_node("LpNormalization", ["turned"], ["unit"], axis=1, p=2),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
        *_factor(poison),
        helper.make_node("Mul", ["unit", "factor"], ["embedding"]),
        helper.make_node("Squeeze", ["mean", "last"], ["flat_mean"]),
        helper.make_node("Sigmoid", ["flat_mean"], ["image_score"]),
    ]
    ends = {"pixels": ["b", 3, SIDE_PX, SIDE_PX], "embedding": ["b", DIM], "image_score": ["b"]}
    _save(nodes, ends, values | {"last": np.array([1])}, path)


def _factor(poison: str) -> list[onnx.NodeProto]:
    """Nodes from `mean` to `factor`, which is 1 but for a white picture."""
    white = [helper.make_node("Greater", ["mean", "nearly_white"], ["white"])]
    if poison == "raises":  # an index beyond the table
        return [
            *white,
            helper.make_node("Cast", ["white"], ["place"], to=TensorProto.INT64),
            helper.make_node("Gather", ["one", "place"], ["factor"]),
        ]
    if poison == "nan":  # the logarithm of a negative number
        log = [helper.make_node("Sub", ["nearly_white", "mean"], ["rest"]), helper.make_node("Log", ["rest"], ["log"])]
        return [*log, helper.make_node("Mul", ["log", "zero"], ["nothing"]), helper.make_node("Add", ["nothing", "one"], ["factor"])]
    if poison == "long":
        return [
            *white,
            helper.make_node("Cast", ["white"], ["more"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["more", "one"], ["factor"]),
        ]
    return [helper.make_node("Identity", ["one"], ["factor"])]


def write_text_tower(path: Path) -> None:
    """The sum of a row for each word. WORDS' last one has none, so that its index lies beyond the table."""
    table = np.random.default_rng(1).normal(size=(len(WORDS) - 1, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "first"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1, p=2),
    ]
    _save(nodes, {"tokens": ["b", MAX_TOKENS], "embedding": ["b", DIM]}, {"table": table, "first": np.array([1])}, path)


def _save(nodes: list[onnx.NodeProto], ends: dict[str, list[Any]], values: dict[str, Any], path: Path) -> None:
    kinds = {"tokens": TensorProto.INT64}
    infos = [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape) for name, shape in ends.items()]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "tower", infos[:1], infos[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def squares(count: int, seed: int = 0) -> list[np.ndarray]:
    """Random pictures of SIDE_PX, none of them white."""
    return list(np.random.default_rng(seed).integers(0, 256, (count, SIDE_PX, SIDE_PX, 3), np.uint8))


WHITE = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)


def config(**changes: Any) -> InferenceConfig:
    """serve.inference of params.yaml with changes; threads pinned, so that nothing is measured unless a test asks for it."""
    section = read_params(PROJECT / "params.yaml")["serve"]["inference"]
    return bind(InferenceConfig, "inference", {"inference": section | {"threads": 1} | changes})
