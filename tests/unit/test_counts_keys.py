"""Sets of keys that grow a little at a time."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components.release.keys import Keys, hash_of, hashes, is_in, mixed, roomy

batches = st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=12)


@given(batches)
def test_each_key_has_one_number_from_0_on_as_in_a_dictionary(given_batches):
    keys, numbers = Keys(), {}
    for batch in given_batches:
        wanted = np.array(batch, np.uint64)
        before = [numbers.get(key, -1) for key in batch]
        assert keys.find(wanted).tolist() == before
        number, first = keys.add(wanted)
        assert sorted(batch[place] for place in first) == sorted(set(batch) - numbers.keys())
        for place, one in zip(first, range(len(numbers), len(keys)), strict=True):
            numbers[batch[place]] = one
        assert number.tolist() == [numbers[key] for key in batch]
    assert len(keys) == len(numbers)


def test_a_thousand_small_batches_leave_few_runs():
    keys, rng = Keys(), np.random.default_rng(0)
    for _ in range(1000):
        keys.add(rng.integers(0, 2**63, 50, np.uint64))
    assert len(keys._runs) <= 17


def test_texts_have_one_hash_and_null_none():
    found = hashes(pa.chunked_array([["a", None], ["a", "b"]]))
    assert found[0] == found[2] == hash_of("a") != found[3]
    assert found[1] == 0


def test_mixing_tells_columns_and_their_order_apart():
    one, two = np.arange(1000, dtype=np.uint64), np.arange(5000, 6000, dtype=np.int64)
    assert len(np.unique(np.concatenate([mixed(one), mixed(one, two), mixed(two, one), mixed(one, two, two)]))) == 4000


@given(st.lists(st.integers(0, 9), max_size=9), st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_keys_are_in_a_sorted_list_or_not(asked, kept):
    found = is_in(np.array(asked, np.uint64), np.sort(np.array(kept, np.uint64)))
    assert found.tolist() == [one in kept for one in asked]


def test_room_keeps_what_was_written_and_is_zero_beyond():
    grown = roomy(np.arange(3), 100)
    assert len(grown) >= 100
    assert grown[:3].tolist() == [0, 1, 2]
    assert not grown[3:].any()
    assert roomy(grown, 50) is grown
