"""int8 in the shape of ViT-B/16 at 224 px, with two of its twelve layers; tests/bench_inference.py measures all of them."""

import numpy as np
import pytest

from components.export.graphs import export_image
from components.export.quantise import quantise
from components.images import normalise
from components.photos import squares
from components.towers import open_session
from tests.vit_bundle import SIDE_PX, picture, torch_towers

NUM_LAYERS, NUM_PICTURES = 2, 8


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    export_image(torch_towers(NUM_LAYERS)[0], SIDE_PX, folder / "fp32.onnx")
    quantise(folder / "fp32.onnx", folder / "int8.onnx", iter([normalise(squares([picture(seed) for seed in range(100, 108)], SIDE_PX))]))
    return folder


@pytest.fixture(scope="module")
def pixels():
    return normalise(squares([picture(seed) for seed in range(NUM_PICTURES)], SIDE_PX))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_pictures_answer_is_the_same_bit_for_bit_whatever_else_is_in_its_batch(graphs, pixels, precision, threads):
    session = open_session(graphs / f"{precision}.onnx", threads)
    alone = [session.run(None, {"pixels": pixels[row : row + 1]}) for row in range(NUM_PICTURES)]
    for size in range(2, NUM_PICTURES + 1):
        vectors, scores = session.run(None, {"pixels": pixels[-size:]})
        for row, (vector, score) in enumerate(alone[-size:]):
            assert vectors[row].tobytes() == vector[0].tobytes()
            assert scores[row] == score[0]


def test_the_order_in_a_batch_changes_no_bit(graphs, pixels):
    session = open_session(graphs / "int8.onnx", 1)
    order = np.random.default_rng(0).permutation(8)
    straight, turned = session.run(None, {"pixels": pixels[:8]}), session.run(None, {"pixels": pixels[:8][order]})
    assert all(np.array_equal(a[order], b) for a, b in zip(straight, turned, strict=True))


def test_int8_vectors_stay_close_to_fp32(graphs, pixels):
    fp32, int8 = (open_session(graphs / f"{precision}.onnx", 2).run(None, {"pixels": pixels})[0] for precision in ("fp32", "int8"))
    assert (fp32 * int8).sum(axis=1).min() >= 0.995
