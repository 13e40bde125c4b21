"""Distances between vectors, held to exact ones and to what they promise."""

from functools import reduce
from operator import add

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from monitoring.detectors.classifier import Side, domain_auc
from monitoring.detectors.mmd import mmd
from monitoring.detectors.space import Moments, Space
from monitoring.detectors.sums import Sums, centroid_distance, reconstruction_gap
from monitoring.detectors.threads import one_thread
from tests.monitoring.detectors.shop import make_config

NUM_FOLDS, NUM_BLOCKS = 3, 64


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def cloud(num, dim=16, *, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 1, (num, dim)) / np.sqrt(1 + np.arange(dim))
    vectors[:, 0] += 1 + shift
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def folds(num):
    return np.arange(num) % NUM_FOLDS


def fitted(vectors, **changes):
    moments = Moments.by_fold(vectors.astype(float), np.ones(len(vectors)), folds(len(vectors)), NUM_FOLDS)
    return Space.fit(moments, vectors[:300], make_config(**changes), seed=0)


def sums(space, vectors, block=None, weight=None):
    block = np.arange(len(vectors)) % NUM_BLOCKS if block is None else block
    weight = np.ones(len(vectors)) if weight is None else weight
    return Sums.of(space, vectors, weight, folds(len(vectors)), block, NUM_BLOCKS)


def side(vectors, weight=None, fold=None):
    return Side(vectors, np.ones(len(vectors)) if weight is None else weight, folds(len(vectors)) if fold is None else fold)


def test_the_classifier_finds_what_a_library_finds():
    one, other = cloud(400, seed=1), cloud(700, seed=2, shift=0.3)
    x, y = np.concatenate([one, other]), np.repeat([0, 1], [400, 700])
    fold = np.concatenate([folds(400), folds(700)])
    weight = np.concatenate([np.full(400, 1 / 800), np.full(700, 1 / 1400)])
    aucs = []
    for k in range(NUM_FOLDS):
        there = LogisticRegression(C=100.0, max_iter=1000, tol=1e-8).fit(x[fold != k], y[fold != k], weight[fold != k] * 1.5)
        aucs.append(roc_auc_score(y[fold == k], there.decision_function(x[fold == k])))
    assert domain_auc(side(one), side(other), ridge=0.01) == pytest.approx(np.mean(aucs), abs=0.005)


def test_windows_of_one_kind_are_told_apart_no_better_than_by_a_coin():
    found = [domain_auc(side(cloud(300, seed=2 * n)), side(cloud(300, seed=2 * n + 1)), ridge=0.01) for n in range(10)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)


def test_an_item_that_lies_in_both_windows_is_not_recognised():
    """2 x 40 rows in 60 directions: each row can be learnt by heart, so a row that leaks would be known for certain."""
    few = cloud(40, 60, seed=3)
    again = np.concatenate([few, few])
    assert domain_auc(side(few), side(again, fold=np.concatenate([folds(40)] * 2)), ridge=1e-3) == pytest.approx(0.5)


def test_windows_far_apart_have_an_auc_of_one():
    assert domain_auc(side(cloud(50, shift=3)), side(-cloud(50, shift=3)), ridge=0.01) == pytest.approx(1)


def test_a_single_row_teaches_the_classifier_nothing():
    assert domain_auc(side(cloud(1)), side(cloud(50)), ridge=0.01) is None


def test_the_components_are_those_of_a_library():
    vectors = cloud(500)
    theirs = PCA(4).fit(vectors)
    space = fitted(vectors, num_components=4)
    whitened = theirs.transform(vectors) / theirs.singular_values_ * np.sqrt(500)
    assert np.abs(space.coordinates(vectors)) == pytest.approx(np.abs(whitened), abs=2e-3)


def test_rows_that_the_reference_holds_fit_it_no_better_than_others():
    """Of one kind, 200 rows in 64 directions: a plane fitted on these rows misses them by a fifth less than others."""
    space = fitted(cloud(200, 64, seed=1), num_components=24)
    gap = np.log(sums(space, cloud(5000, 64, seed=2)).mean_missed / sums(space, cloud(200, 64, seed=1)).mean_missed)
    assert abs(gap) < 0.05


def test_mmd_on_random_features_is_near_the_exact_one():
    one, other = cloud(400, seed=1), cloud(500, seed=2, shift=0.5)
    space = fitted(one, num_features=4096)
    scale = (space.frequency_DH**2).mean()

    def kernel(a, b):
        return np.exp(-scale / 2 * ((a[:, None] - b[None]) ** 2).sum(axis=2)).mean()

    exact = np.sqrt(kernel(one, one) + kernel(other, other) - 2 * kernel(one, other))
    assert mmd(sums(space, one), sums(space, other), 10, 0).distance == pytest.approx(exact, rel=0.05)


def clumps(num_sellers, rows_each, seed):
    """Rows of sellers whose items are alike, and each row's seller."""
    rng = np.random.default_rng(seed)
    own = cloud(num_sellers, seed=seed + 1000)
    seller = np.repeat(np.arange(num_sellers), rows_each)
    vectors = own[seller] + rng.normal(0, 0.05, (len(seller), own.shape[1]))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), seller


def test_sellers_with_items_alike_are_no_drift():
    """100 sellers of 1 row against 60 of 20: as rows they differ many times beyond chance, as blocks they do not."""
    space = fitted(cloud(1000, seed=9))
    by_seller, by_row, p_values = [], [], []
    for n in range(30):
        (one, of_one), (other, of_other) = clumps(100, 1, 2 * n), clumps(60, 20, 2 * n + 1)
        found = mmd(sums(space, one, of_one % NUM_BLOCKS), sums(space, other, of_other % NUM_BLOCKS), 100, 0)
        by_seller.append(found.ratio)
        p_values.append(found.p_value)
        by_row.append(mmd(sums(space, one), sums(space, other), 100, 0).ratio)
    assert np.mean(by_seller) == pytest.approx(1, abs=0.15)
    assert np.mean(by_row) > 1.5
    assert np.mean(np.array(p_values) < 0.1) < 0.3


def test_too_few_blocks_say_nothing():
    space = fitted(cloud(100))
    assert mmd(sums(space, cloud(100), np.arange(100) % 7), sums(space, cloud(100)), 10, 0) is None


def test_the_same_rows_lie_at_no_distance():
    space = fitted(cloud(300))
    one = sums(space, cloud(300))
    found = mmd(one, one, 50, 0)
    assert (found.distance, found.ratio, found.p_value) == pytest.approx((0, 0, 1), abs=1e-4)
    assert (centroid_distance(one, one), reconstruction_gap(one, one)) == (0, 0)


def test_both_orders_are_equally_far():
    space = fitted(cloud(300))
    one, other = sums(space, cloud(300, seed=1)), sums(space, cloud(500, seed=2, shift=0.4))
    assert centroid_distance(one, other) == centroid_distance(other, one)
    assert reconstruction_gap(one, other) == pytest.approx(reconstruction_gap(other, one))
    assert mmd(one, other, 50, 0).ratio == pytest.approx(mmd(other, one, 50, 0).ratio)


def test_chunks_add_up_to_the_whole():
    vectors, weight = cloud(1000), np.random.default_rng(0).uniform(0.5, 3, 1000)
    fold, block = folds(1000), np.arange(1000) % NUM_BLOCKS
    chunks = [slice(start, start + 170) for start in range(0, 1000, 170)]
    moments = reduce(add, (Moments.of(vectors[c].astype(float), weight[c]) for c in chunks))
    assert moments.product_DD == pytest.approx(Moments.of(vectors.astype(float), weight).product_DD)
    space = fitted(vectors)
    whole = Sums.of(space, vectors, weight, fold, block, NUM_BLOCKS)
    added = reduce(add, (Sums.of(space, vectors[c], weight[c], fold[c], block[c], NUM_BLOCKS) for c in chunks))
    for name in ("total_D", "missed", "weight_B", "phi_BF"):
        assert getattr(added, name) == pytest.approx(getattr(whole, name), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("vectors", [np.ones((50, 1), np.float32), np.ones((50, 8), np.float32), cloud(1), cloud(2, 1)])
def test_rows_without_any_spread_have_a_space_too(vectors):
    space = fitted(vectors)
    one, other = sums(space, vectors), sums(space, -vectors)
    assert np.isfinite([centroid_distance(one, other), reconstruction_gap(one, other)]).all()
    assert np.isfinite(space.coordinates(-vectors)).all()
