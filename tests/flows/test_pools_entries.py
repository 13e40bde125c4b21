"""Entries of dvc.lock on their way between clones: pure."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadWorkspace
from flows.pools.entries import entry_of, is_stale, merged, packed, parsed, unpacked, without, written

names = st.text("abcdefgh_", min_size=1, max_size=8)
digests = st.text("0123456789abcdef", min_size=32, max_size=32)
texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]) | st.just(" "), max_size=12)
values = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | texts
items = st.builds(lambda path, md5, size: {"path": path, "hash": "md5", "md5": md5, "size": size}, names, digests, st.integers(0, 10**12))
entries = st.fixed_dictionaries(
    {
        "cmd": names,
        "deps": st.lists(items, max_size=3),
        "params": st.fixed_dictionaries({"params.yaml": st.dictionaries(names, values, max_size=3)}),
        "outs": st.lists(items, max_size=3),
    }
)
locks = st.builds(lambda stages: {"schema": "2.0", "stages": stages}, st.dictionaries(names, entries, max_size=5))


@given(locks, st.dictionaries(names, entries, max_size=3))
def test_a_merge_takes_the_entries_leaves_all_others_and_keeps_schema_and_order(lock, handed):
    whole = merged(lock, handed)
    assert whole["schema"] == "2.0"
    assert {name: whole["stages"][name] for name in handed} == handed
    assert {name: entry for name, entry in whole["stages"].items() if name not in handed} == {
        name: entry for name, entry in lock["stages"].items() if name not in handed
    }
    assert list(whole["stages"]) == [*lock["stages"], *(name for name in handed if name not in lock["stages"])]
    assert merged(whole, handed) == whole


@given(locks)
def test_what_is_written_is_read_back_and_written_the_same_again(lock):
    assert parsed(written(lock)) == lock
    assert written(parsed(written(lock))) == written(lock)


@given(locks)
def test_an_entry_that_was_handed_over_is_byte_for_byte_what_it_was(lock):
    for stage in lock["stages"]:
        data, digest = packed(entry_of(lock, stage))
        assert hashlib.sha256(data).hexdigest() == digest
        back = merged(without(lock, stage), {stage: unpacked(data)})
        assert written({**lock, "stages": {name: back["stages"][name] for name in lock["stages"]}}) == written(lock)


@given(locks, names)
def test_an_entry_that_goes_leaves_the_others(lock, stage):
    assert without(lock, stage)["stages"] == {name: entry for name, entry in lock["stages"].items() if name != stage}


def made(*outs, deps=()):
    return {
        "cmd": "x",
        "deps": [{"path": path, "md5": md5} for path, md5 in deps],
        "outs": [{"path": path, "md5": md5} for path, md5 in outs],
    }


@pytest.mark.parametrize(
    ("dep", "stale"),
    [
        (("data/pairs", "1"), False),
        (("data/pairs", "2"), True),
        (("data/pairs/part", "1"), True),  # within an out, and around one: nothing to compare with
        (("data", "1"), True),
        (("data/pairs_of_shoes", "9"), False),
        (("code.py", "9"), False),
    ],
)
def test_an_entry_is_stale_where_its_upstream_made_something_else_or_may_have(dep, stale):
    assert is_stale(made(deps=[dep]), {"pairs": made(("data/pairs", "1"))}) is stale


def test_other_keys_of_a_lock_are_kept():
    lock = {"schema": "2.0", "datasets": [{"name": "x"}], "stages": {"a": made()}}
    assert merged(parsed(written(lock)), {"b": made()})["datasets"] == [{"name": "x"}]


@pytest.mark.parametrize("text", ["- a", "schema: '9.0'", "stages: [", "a: {}"])
def test_what_dvc_did_not_write_is_refused(text):
    with pytest.raises(BadWorkspace, match=r"dvc\.lock"):
        parsed(text)


def test_a_clone_without_a_lock_has_one_without_stages():
    assert parsed("") == {"schema": "2.0", "stages": {}}
    assert entry_of(parsed(""), "pairs") is None
