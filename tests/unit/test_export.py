import dataclasses
import json
import re

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components import images
from components.errors import BadBundle
from components.export.graphs import ImageGraph, TextGraph, export_image, export_text
from components.export.projection import fit_projection, kept_share
from components.export.quantise import quantise
from components.finetune.start import start_model
from components.fingerprint import fingerprint
from components.head import HeadShape, ScoreHead
from components.towers import SERVING, Serving, open_session
from tests.unit.test_finetune import TITLES, scratch


def unit(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(rows=st.integers(1, 30), dim=st.integers(2, 12), kept=st.integers(1, 14))
def test_projection_columns_are_orthonormal_and_the_full_one_keeps_every_cosine(rows, dim, kept):
    vectors = unit(rows, dim)
    found = fit_projection(vectors, kept)
    assert found.shape == (dim, min(dim, kept))
    np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-5)
    np.testing.assert_allclose((vectors @ found) @ (vectors @ found).T, vectors @ vectors.T, atol=1e-4 if kept >= dim else 2)
    assert 0 <= kept_share(vectors, found) <= 1 + 1e-5


def test_the_projection_keeps_the_strongest_directions():
    vectors = unit(200, 6) * np.array([5, 3, 0.1, 0.1, 0.1, 0.1], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert kept_share(vectors, fit_projection(vectors, 2)) > 0.98


@pytest.mark.parametrize("part", ["encoder", "preprocessing", "projection", "precision"])
def test_whatever_moves_vectors_changes_the_fingerprint(part):
    parts = {"encoder": "a", "preprocessing": "b", "projection": "c", "precision": "fp32"}
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint(**parts))
    assert fingerprint(**parts) != fingerprint(**parts | {part: "other"})


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """An untrained small model's two graphs, with its torch modules."""
    folder = tmp_path_factory.mktemp("graphs")
    model, _ = start_model("scratch", scratch(), TITLES, seed=0)
    torch.manual_seed(0)
    head = ScoreHead(HeadShape([0, 1], 32, 16, own_trunk=False)).eval()
    projection = torch.from_numpy(fit_projection(unit(100, 32), 8))
    image, text = ImageGraph(model.eval(), head, None, projection).eval(), TextGraph(model, projection).eval()
    export_image(image, 32, folder / "image.onnx")
    export_text(text, 16, folder / "text.onnx")
    return folder, image, text


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_the_image_graph_answers_as_torch_at_any_batch(graphs, batch):
    folder, image, _ = graphs
    vectors, scores = open_session(folder / "image.onnx").run(["embedding", "image_score"], {"pixels": pixels(batch)})
    with torch.no_grad():
        expected, expected_scores = image(torch.from_numpy(pixels(batch)))
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(scores, expected_scores.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_photos_answer_is_the_same_bit_for_bit_whatever_else_is_in_its_batch(graphs, precision, tmp_path):
    folder, _, _ = graphs
    path = folder / "image.onnx"
    if precision == "int8":
        path = tmp_path / "int8.onnx"
        quantise(folder / "image.onnx", path, iter([pixels(16, seed=1)]))
    session = open_session(path)
    alone = [session.run(None, {"pixels": pixels(9)[row : row + 1]}) for row in range(9)]
    for size in range(2, 10):
        together = session.run(None, {"pixels": pixels(9)[:size]})
        for row in range(size):
            for a, b in zip(alone[row], together, strict=True):
                assert a[0].tobytes() == b[row].tobytes()


def test_int8_is_smaller_and_close_and_leaves_attention_alone(graphs, tmp_path):
    folder, _, _ = graphs
    quantise(folder / "image.onnx", tmp_path / "int8.onnx", iter([pixels(16, seed=1)]))
    fp32, int8 = (open_session(p).run(None, {"pixels": pixels(8)})[0] for p in (folder / "image.onnx", tmp_path / "int8.onnx"))
    assert (fp32 * int8).sum(axis=1).min() > 0.98
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * (folder / "image.onnx").stat().st_size
    model = onnx.load(str(tmp_path / "int8.onnx"))
    made_by = {output: node for node in model.graph.node for output in node.output}
    weightless = [
        n for n in model.graph.node if n.op_type == "MatMul" and not any(made_by.get(i, n).op_type == "DequantizeLinear" for i in n.input)
    ]
    assert weightless


def test_the_text_graph_answers_as_torch(graphs):
    folder, _, text = graphs
    tokens = np.random.default_rng(0).integers(0, 200, (3, 16))
    with torch.no_grad():
        expected = text(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(open_session(folder / "text.onnx").run(["embedding"], {"tokens": tokens})[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx"])
def test_a_graph_carries_no_trace_of_where_it_was_made(graphs, name):
    folder, _, _ = graphs
    data = (folder / name).read_bytes()
    assert b".py" not in data
    assert b"site-packages" not in data


def serving(**changes) -> Serving:
    facts = {
        "fingerprint": "f",
        "dim": 8,
        "image_px": 32,
        "max_tokens": 16,
        "pad_id": 0,
        "precision": "fp32",
        "preprocessing": images.digest(),
    }
    return Serving(**facts | changes)


def test_pictures_prepared_by_other_code_are_refused(tmp_path):
    (tmp_path / SERVING).write_text(json.dumps(dataclasses.asdict(serving())))
    assert Serving.read(tmp_path) == serving()
    (tmp_path / SERVING).write_text(json.dumps(dataclasses.asdict(serving(preprocessing="0" * 64))))
    with pytest.raises(BadBundle, match=r"another components/images\.py"):
        Serving.read(tmp_path)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(BadBundle, match="holds no exported model"):
        Serving.read(tmp_path)
