"""Joining two sides' entries, and whether entries are true of a commit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadWorkspace
from flows.lock_entries import Source, entries_in, joined, mapping_in, md5_of, md5_of_folder, outdated, written

STAGES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([{"cmd": "1"}, {"cmd": "2"}, {"cmd": "3"}]))


@given(STAGES, STAGES)
def test_one_sides_changes_are_taken_whole_and_nothing_rivals_them(base, changed):
    assert joined(base, changed, base) == (changed, ())
    assert joined(base, base, changed) == (changed, ())
    assert joined(base, changed, changed) == (changed, ())


@given(STAGES, STAGES, STAGES)
def test_each_stage_is_either_sides_and_rivals_are_those_both_changed_otherwise(base, ours, theirs):
    both, rivals = joined(base, ours, theirs)
    for name in "abc":
        sides = (ours.get(name), theirs.get(name))
        assert both.get(name) in sides
        assert (name in rivals) == (base.get(name) not in sides and sides[0] != sides[1])
        if name not in rivals and sides[0] != base.get(name):
            assert both.get(name) == sides[0]


@given(STAGES)
def test_a_lock_reads_back(stages):
    assert entries_in(written(stages), "dvc.lock") == stages


@pytest.mark.parametrize(
    "data", [b"schema: '2.0'\nstages:\n  a: {}", b"schema: '2.0'\nstages:\n\t\n", b"- a\n", b"schema: '1.0'\nstages: {}\n"]
)
def test_what_is_no_whole_lock_is_refused(data):
    with pytest.raises(BadWorkspace):
        entries_in(data, "dvc.lock")


def test_no_lock_has_no_entries():
    assert entries_in(None, "dvc.lock") == {}
    assert mapping_in(b"", "params.yaml") == {}
    with pytest.raises(BadWorkspace, match="no mapping"):
        mapping_in(b"- a\n", "params.yaml")
    with pytest.raises(BadWorkspace, match=r"params\.yaml cannot be read"):
        mapping_in(b"a: [\n", "params.yaml")


STAGE = {
    "cmd": "make a",
    "deps": ["seed.txt", "data/b"],
    "params": ["a", "b.c", {"other.yaml": ["x"]}],
    "outs": ["data/a", {"data/p": {"cache": True}}],
}
ENTRY = {
    "cmd": "make a",
    "deps": [{"path": "seed.txt", "md5": "s"}, {"path": "data/b", "md5": "b"}],
    "params": {"params.yaml": {"a": {"k": 1.0e9}, "b.c": [1]}, "other.yaml": {"x": None}},
    "outs": [{"path": "data/a", "md5": "1"}, {"path": "data/p", "md5": "2"}],
}
PARAMS = {"params.yaml": {"a": {"k": 1.0e9}, "b": {"c": [1], "d": 2}}, "other.yaml": {"x": None}}
B = {"cmd": "make b", "deps": [], "outs": [{"path": "data/b", "md5": "b"}]}


def late(entry=ENTRY, stage=STAGE, params=PARAMS, b=B, md5="s"):
    source = Source({"a": stage, "b": {"cmd": "make b", "outs": ["data/b"]}}, lambda file: params.get(file, {}), {"seed.txt": md5}.get)
    return outdated({"a": entry, "b": b, "gone": {"cmd": "?"}}, source)


def test_an_entry_is_true_where_everything_it_names_is_as_it_says():
    assert late() == {}
    assert late(md5=None) == {}, "git does not hold the path, so nothing is known against it"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"md5": "other"}, "seed.txt"),
        ({"b": {**B, "outs": [{"path": "data/b", "md5": "new"}]}}, "data/b"),
        ({"stage": {**STAGE, "cmd": "make more"}}, "its command in dvc.yaml"),
        ({"stage": {**STAGE, "deps": ["seed.txt"]}}, "its deps in dvc.yaml"),
        ({"stage": {**STAGE, "outs": ["data/a"]}}, "its outs in dvc.yaml"),
        ({"stage": {**STAGE, "params": [*STAGE["params"], "new"]}}, "its params in dvc.yaml"),
        ({"params": {**PARAMS, "params.yaml": {"a": {"k": 2.0}, "b": {"c": [1]}}}}, "a in params.yaml"),
        ({"params": {**PARAMS, "params.yaml": {"a": {"k": 1.0e9}, "b": {"c": [1, 2]}}}}, "b.c in params.yaml"),
        ({"params": {"params.yaml": PARAMS["params.yaml"], "other.yaml": {"x": 0}}}, "x in other.yaml"),
    ],
)
def test_the_first_thing_that_is_other_is_named(changes, told):
    assert late(**changes) == {"a": told}


def test_paths_are_taken_from_where_the_stage_works():
    stage = {**STAGE, "wdir": "inner", "deps": ["../seed.txt", "../data/b"]}
    entry = {**ENTRY, "deps": [{"path": "../seed.txt", "md5": "s"}, {"path": "../data/b", "md5": "old"}]}
    assert late(entry, stage) == {"a": "data/b"}


def test_a_folders_digest_leaves_out_what_dvcignore_does():
    files = {"code/a.py": b"a", "code/inner/b.py": b"b"}
    whole = md5_of_folder("code", files, "")
    assert md5_of_folder("code", {**files, "code/__pycache__/a.pyc": b"x"}, "__pycache__\n# why\n") == whole
    assert md5_of_folder("code", {**files, "code/c.py": b""}, "") != whole
    assert (
        whole
        == md5_of(f'[{{"md5": "{md5_of(b"a")}", "relpath": "a.py"}}, {{"md5": "{md5_of(b"b")}", "relpath": "inner/b.py"}}]'.encode())
        + ".dir"
    )
