"""What is relevant, what leaves a ranking, and that the served index and exact search agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate.held_out import HeldOut
from components.evaluate.rankings import NUM_RANKS, Exact, Served, recall_at
from components.evaluate.relevance import category_relevance, product_relevance, slices_of
from components.evaluate.table import Row, measure, shares_of

HATS, SHOES = ("Apparel", "Hat"), ("Apparel", "Shoes")


def held(category, owner, product=None, vectors=None):
    n = len(category)
    unit = np.eye(n, dtype=np.float32) if vectors is None else np.asarray(vectors, np.float32)
    return HeldOut(
        item_id=[f"i{k:03d}" for k in range(n)],
        owner=owner,
        product=product or [None] * n,
        category=category,
        source=["s"] * n,
        title=[""] * n,
        image_id=[""] * n,
        vector_ND=unit / np.linalg.norm(unit, axis=1, keepdims=True),
        score_N=np.zeros(n),
    )


class ListIndex:
    """A search over some rows by brute force, as the served index answers it."""

    def __init__(self, vectors, item_ids):
        self.vectors, self.item_ids, self.fingerprint, self.dim = vectors, item_ids, "f", vectors.shape[1]
        self.depths = []

    def search(self, vectors, k, among=None):
        self.depths.append(k)
        allowed = np.zeros(len(self.vectors), bool)
        allowed[slice(None) if among is None else among] = True
        cosine = np.where(allowed, vectors @ self.vectors.T, -np.inf)
        rows = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(cosine, rows, axis=1)
        return best, np.where(np.isfinite(best), rows, -1)


def test_same_leaf_of_another_owner_is_relevant_and_own_items_are_not():
    relevance = category_relevance(held([HATS, HATS, HATS, SHOES], ["a", "a", "b", "b"]))
    assert relevance.num_relevant(np.ones(4, bool)).tolist() == [1, 1, 2, 0]
    assert relevance.hits(np.array([0]), np.array([[2, 3, -1]])).tolist() == [[True, False, False]]


def test_equal_leaf_names_below_different_roots_are_different_categories():
    relevance = category_relevance(held([("Men", "Hat"), ("Women", "Hat")], ["a", "b"]))
    assert relevance.num_relevant(np.ones(2, bool)).tolist() == [0, 0]


def test_an_item_without_a_category_neither_asks_nor_is_found():
    relevance = category_relevance(held([(), (), HATS], ["a", "b", "c"]))
    assert relevance.num_relevant(np.ones(3, bool)).tolist() == [0, 0, 0]


def test_a_product_is_found_whoever_sells_it_and_an_unknown_product_never():
    relevance = product_relevance(held([HATS] * 4, ["a", "a", "b", "c"], product=["p", "p", "p", None]))
    assert relevance.num_relevant(np.ones(4, bool)).tolist() == [2, 2, 2, 0]
    assert relevance.hits(np.array([0]), np.array([[1, 3]])).tolist() == [[True, False]]


def test_items_that_are_not_there_cannot_be_found():
    relevance = category_relevance(held([HATS, HATS, HATS], ["a", "b", "c"]))
    assert relevance.num_relevant(np.array([True, True, False])).tolist()[:2] == [1, 1]


def test_own_items_leave_the_ranking_and_what_is_behind_them_moves_up():
    vectors = [[1, 0], [1, 0.01], [1, 0.2], [0, 1]]
    ranking = Exact(held([HATS] * 4, list("aabc"), vectors=vectors).vector_ND).rank(np.array([0]), np.array([0, 0, 1, 2]), np.ones(4, bool))
    assert ranking[0].tolist() == [2, 3, -1, -1, -1, -1]


def test_the_served_ranking_digs_past_a_hundred_own_items_that_come_first():
    rng = np.random.default_rng(0)
    vectors = np.concatenate([np.tile([1.0, 0, 0], (120, 1)) + rng.normal(0, 0.01, (120, 3)), rng.normal(size=(20, 3))]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owner = np.array([0] * 120 + list(range(1, 21)))
    index = ListIndex(vectors, [f"i{n}" for n in range(140)])
    served = Served(index, np.arange(140), vectors).rank(np.arange(140), owner, np.ones(140, bool))
    assert (served == Exact(vectors).rank(np.arange(140), owner, np.ones(140, bool))).all()
    assert index.depths == [32, 128]


def test_an_index_that_finds_nothing_more_is_not_asked_again():
    class Shallow(ListIndex):
        def search(self, vectors, k, among=None):
            cosines, rows = super().search(vectors, k, among)
            rows[:, 3:] = -1
            return cosines, rows

    vectors = np.eye(40, dtype=np.float32)
    index = Shallow(vectors, [f"i{n}" for n in range(40)])
    ranking = Served(index, np.arange(40), vectors).rank(np.arange(40), np.arange(40), np.ones(40, bool))
    assert index.depths == [32]
    assert (ranking[:, 2:] == -1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 10_000))
def test_a_ranking_never_repeats_an_item_nor_holds_an_own_or_absent_one(num, num_owners, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(num, 4)).astype(np.float32)
    owner, present = rng.integers(0, num_owners, num), rng.random(num) < 0.8
    rows = rng.permutation(num)
    index_vectors = np.empty_like(vectors)
    index_vectors[rows] = vectors
    query = np.flatnonzero(present)
    exact = Exact(vectors).rank(query, owner, present)
    served = Served(ListIndex(index_vectors, [""] * num), rows, vectors).rank(query, owner, present)
    for q, ranking in zip(query, exact, strict=True):
        found = ranking[ranking >= 0].tolist()
        assert len(set(found)) == len(found) == min(NUM_RANKS, int((present & (owner != owner[q])).sum()))
        assert present[found].all()
        assert not (owner[found] == owner[q]).any()
    assert [set(row) for row in served.tolist()] == [set(row) for row in exact.tolist()]


def test_recall_counts_what_the_index_missed():
    assert recall_at(5, np.array([[3, 2, 9, 8, 7]]), np.array([[1, 2, 3, -1, -1]])) == pytest.approx(2 / 3)
    assert recall_at(5, np.zeros((0, 6)), np.zeros((0, 6))) is None


def test_a_row_that_misses_items_is_compared_on_what_it_covers():
    vectors = np.array([[1, 0], [0.9, 0.1], [0.8, 0.3], [0, 1], [0.1, 0.9]])
    items = held([HATS, HATS, SHOES, SHOES, HATS], list("abcde"), vectors=vectors)
    model = Row("model", items.vector_ND, Exact(items.vector_ND), np.ones(5, bool))
    partial = Row("shop", items.vector_ND, Exact(items.vector_ND), np.array([1, 1, 1, 1, 0], bool))
    measured = measure(category_relevance(items), [model, partial])
    columns = measured.columns()
    assert np.isnan(columns["shop"][measured.item_Q == 4]).all()
    assert (columns["model_minus_shop"][measured.item_Q != 4] == 0).all()
    assert shares_of("shop", [measured], {"all": np.ones(5, bool)})["all"]["category"]["share"] == 1


def test_slices_are_all_then_roots_then_sources_and_a_taken_name_gets_its_kind():
    slices = slices_of([("Fruit", "Apple"), ("all", "x"), ()], ["Fruit", "shop", "shop"])
    assert {name: mask.tolist() for name, mask in slices.items()} == {
        "all": [True, True, True],
        "Fruit": [True, False, False],
        "category: all": [False, True, False],
        "source: Fruit": [True, False, False],
        "shop": [False, True, True],
    }
