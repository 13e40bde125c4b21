import json

import numpy as np
import pytest

from components.errors import BadBundle
from components.neighbours import ABOUT, IndexConfig, NeighbourIndex, build
from components.retrieval import category_ndcg_at_5

FLAT = IndexConfig(flat_below=10**6, num_cells=8, num_probes=4)
IVF = IndexConfig(flat_below=10, num_cells=8, num_probes=4)


def unit(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def made(folder, cfg=FLAT, rows=400):
    vectors = unit(rows, 16)
    build(folder, [f"i{n}" for n in range(rows)], vectors, "fp", cfg)
    return NeighbourIndex.open(folder), vectors


def test_a_flat_index_finds_what_exact_search_finds(tmp_path):
    index, vectors = made(tmp_path)
    cosines, rows = index.search(vectors[:20], 5)
    exact = np.argsort(-(vectors[:20] @ vectors.T), axis=1)[:, :5]
    np.testing.assert_array_equal(rows, exact)
    np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-5)
    assert index.item_ids[rows[3, 0]] == "i3"


@pytest.mark.parametrize("cfg", [FLAT, IVF])
def test_a_search_among_some_finds_only_those_and_fills_up(tmp_path, cfg):
    index, vectors = made(tmp_path, cfg)
    _, rows = index.search(vectors[:4], 6, among=np.array([1, 2, 399]))
    assert set(rows.ravel()) <= {-1, 1, 2, 399}
    assert (rows[:, 5] == -1).all()


def test_an_inverted_file_above_the_bound_finds_most_and_gives_vectors_back(tmp_path):
    index, vectors = made(tmp_path, IVF)
    assert json.loads((tmp_path / ABOUT).read_text())["kind"] == "ivf"
    _, rows = index.search(vectors, 1)
    assert (rows[:, 0] == np.arange(len(vectors))).mean() > 0.95
    np.testing.assert_allclose(index.vector_of(7), vectors[7], atol=1e-6)


@pytest.mark.parametrize("cfg", [FLAT, IVF])
def test_equal_vectors_give_equal_bytes(tmp_path, cfg):
    for name in ("a", "b"):
        made(tmp_path / name, cfg)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_query_of_another_width_is_refused(tmp_path):
    index, _ = made(tmp_path)
    with pytest.raises(BadBundle, match="vectors of 16 values"):
        index.search(unit(1, 8), 3)


def test_an_index_whose_files_disagree_is_refused(tmp_path):
    made(tmp_path / "a")
    made(tmp_path / "b", rows=300)
    (tmp_path / "a" / "items.parquet").write_bytes((tmp_path / "b" / "items.parquet").read_bytes())
    with pytest.raises(BadBundle, match="holds 400 x 16"):
        NeighbourIndex.open(tmp_path / "a")
    (tmp_path / "b" / "items.parquet").unlink()
    with pytest.raises(BadBundle, match=r"items\.parquet is missing"):
        NeighbourIndex.open(tmp_path / "b")


def test_retrieval_is_perfect_where_categories_are_apart_and_owners_differ():
    vectors = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)
    categories, owners = ["a"] * 4 + ["b"] * 4, [f"o{n}" for n in range(8)]
    assert category_ndcg_at_5(vectors, categories, owners) == pytest.approx(1.0)


def test_an_owners_own_photos_never_count_as_finds():
    vectors = np.eye(4, dtype=np.float32)
    assert category_ndcg_at_5(vectors, ["a"] * 4, ["o"] * 4) is None
    assert category_ndcg_at_5(np.zeros((0, 4), np.float32), [], []) is None
