"""The sample: large enough in every segment, the same in any order, unbiased."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.detectors.hashes import mixed
from monitoring.sampling import NONE, Sampler, raked

NUM_VALUES = (3, 6)


def rows(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of `num` rows in two dimensions: three values of much the same size, and six of which each has half of the last one's rows."""
    rng = np.random.default_rng(seed)
    skewed = np.minimum(rng.geometric(0.5, num) - 1, NUM_VALUES[1] - 1)
    return np.arange(num, dtype=np.uint64), np.stack([rng.integers(NONE, NUM_VALUES[0], num), skewed], axis=1).astype(np.int32)


def sampled(number: np.ndarray, code_NS: np.ndarray, k: int, of_segment: int, seed: int = 0, batch: int = 100):
    sampler = Sampler(k, of_segment, code_NS.shape[1])
    for start in range(0, len(number), batch):
        here = slice(start, start + batch)
        sampler.offer(mixed(number[here], seed), number[here], code_NS[here])
    return sampler.sample()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 9), st.integers(1, 700), st.randoms())
def test_order_and_batches_do_not_change_the_sample(num, seed, batch, shuffle):
    number, code = rows(num, seed)
    order = list(range(num))
    shuffle.shuffle(order)
    one, other = sampled(number, code, 200, 40), sampled(number[order], code[order], 200, 40, batch=batch)
    assert np.array_equal(one.reference, other.reference)
    assert np.array_equal(one.weight, other.weight)
    assert np.array_equal(one.code_NS, code[one.reference.astype(int)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 9), st.integers(1, 400), st.integers(1, 60))
def test_every_segment_is_as_large_as_was_asked_for_or_whole(num, seed, k, of_segment):
    number, code = rows(num, seed)
    found = sampled(number, code, k, of_segment)
    assert len(np.unique(found.reference)) == len(found.reference)
    assert min(num, k) <= len(found.reference) <= k + of_segment * sum(NUM_VALUES)
    for dimension, num_values in enumerate(NUM_VALUES):
        for value in range(num_values):
            assert (found.code_NS[:, dimension] == value).sum() >= min(of_segment, (code[:, dimension] == value).sum())
    if num <= k:
        assert (found.weight == 1).all()


def test_sums_are_unbiased_over_any_set_of_rows():
    number, code = rows(2000, seed=3)
    value = np.random.default_rng(4).gamma(2.0, 3.0, len(number)) * (1 + code[:, 1])
    sets = {"all": code[:, 1] >= 0, "a segment": code[:, 1] == 4, "none": code[:, 0] == NONE, "odd": number % 2 == 1}
    draws = {name: [] for name in sets}
    for seed in range(400):
        found = sampled(number, code, 150, 25, seed=seed, batch=2000)
        place = found.reference.astype(int)
        for name, here in sets.items():
            draws[name].append(float(found.weight[here[place]] @ value[place][here[place]]))
    for name, here in sets.items():
        error = np.std(draws[name]) / np.sqrt(len(draws[name]))
        assert abs(np.mean(draws[name]) - value[here].sum()) < 4 * error, name


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 9), st.integers(30, 400), st.integers(5, 60))
def test_raked_weights_sum_to_the_rows_of_every_segment(num, seed, k, of_segment):
    number, code = rows(num, seed)
    found = sampled(number, code, k, of_segment)
    counts = [np.bincount(column[column != NONE], minlength=size) for column, size in zip(code.T, NUM_VALUES, strict=True)]
    weight = raked(found.weight, found.code_NS, counts, num)
    assert weight.sum() == pytest.approx(num, rel=1e-6)
    assert (weight > 0).all()
    for dimension, count in enumerate(counts):
        here = found.code_NS[:, dimension]
        for value in np.unique(here[here != NONE]):
            assert weight[here == value].sum() == pytest.approx(count[value], rel=1e-3)


def test_weights_that_are_right_already_are_left_as_they_are():
    _, code = rows(500, seed=1)
    counts = [np.bincount(column[column != NONE], minlength=size) for column, size in zip(code.T, NUM_VALUES, strict=True)]
    assert np.array_equal(raked(np.ones(500), code, counts, 500), np.ones(500))


def test_rows_in_memory_do_not_grow_with_the_rows_offered():
    most = {}
    for num in (5_000, 50_000):
        number, code = rows(num, seed=2)
        sampler = Sampler(300, 50, 2)
        for start in range(0, num, 500):
            sampler.offer(mixed(number[start : start + 500], 0), number[start : start + 500], code[start : start + 500])
            most[num] = max(most.get(num, 0), sampler.num_held)
    assert most[50_000] <= 1.2 * most[5_000] <= 3_000
