"""Knobs in params.yaml are turned in place."""

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.errors import BadParams
from flows.knobs import turn, turned

PARAMS = """\
# Every knob.
ingest: # where from
  source: simulate   # or folder
  path: null # of the folder
  empty:
  csv: 'listings.csv'

evaluate:
  external_vectors: []        # parquet files
  block:
    - a.parquet # the first
    - b.parquet
  # about the next
  seed: 0
"""


def test_only_the_value_changes():
    new = turned(PARAMS, {("ingest", "path"): "../données/x y", ("evaluate", "external_vectors"): ["../p/a: b.parquet", "c.parquet"]})
    assert new == PARAMS.replace("path: null", "path: ../données/x y").replace(
        "external_vectors: []", "external_vectors: ['../p/a: b.parquet', c.parquet]"
    )


def test_a_knob_at_any_depth_is_turned_also_inside_braces():
    text = "serve: # the gateway\n  inference:\n    url: a:1 # where\n  index: {gate: {recall: 0.95, name: x}, n: 1} # neighbours\n"
    knobs = {("serve", "inference", "url"): "b:2", ("serve", "index", "gate", "recall"): 1, ("serve", "index", "gate", "name"): "c: 3"}
    new = "serve: # the gateway\n  inference:\n    url: b:2 # where\n  index: {gate: {recall: 1, name: 'c: 3'}, n: 1} # neighbours\n"
    assert turned(text, knobs) == new
    assert turned(new, {("serve", "index", "gate", "recall"): 1.0}) == new.replace("recall: 1,", "recall: 1.0,")
    for knob in (("serve", "index", "gat", "recall"), ("serve", "inference", "url", "deeper")):
        with pytest.raises(BadParams, match="has no " + r"\.".join(knob)):
            turned(text, {knob: 1})


def test_a_blank_value_and_a_block_list_are_replaced_and_the_comments_around_them_stay():
    new = turned(PARAMS, {("ingest", "empty"): 7, ("evaluate", "block"): ["c"]})
    assert "  empty: 7\n  csv: 'listings.csv'\n" in new
    assert "  block: [c]\n  # about the next\n  seed: 0\n" in new


def test_a_file_that_says_so_already_is_not_written(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(PARAMS.replace("\n", "\r\n").encode())
    before = path.stat().st_ino
    assert not turn(path, {("ingest", "csv"): "listings.csv", ("evaluate", "external_vectors"): []})
    assert path.stat().st_ino == before
    assert turn(path, {("ingest", "source"): "folder"})
    assert path.read_bytes() == PARAMS.replace("source: simulate", "source: folder").replace("\n", "\r\n").encode()


@pytest.mark.parametrize("knob", [("ingest", "sauce"), ("injest", "source")])
def test_a_knob_that_is_not_there_is_named(knob):
    with pytest.raises(BadParams, match=r"has no " + ".".join(knob)):
        turned(PARAMS, {knob: 1})


def test_a_value_that_others_share_is_left_to_a_person():
    with pytest.raises(BadParams, match=r"ingest\.path"):
        turned("ingest:\n  path: &p a\n  other: *p\n", {("ingest", "path"): "b"})
    with pytest.raises(BadParams, match=r"ingest\.other"):
        turned("ingest:\n  path: &p a\n  other: *p\n", {("ingest", "other"): "b"})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=300)
@example("\x85")
@example(["a\nb", "\u2028", "\U0001f457"])
@given(st.none() | TEXT | st.lists(TEXT, max_size=3))
def test_whatever_the_value_it_reads_back_and_nothing_else_moved(value):
    new = turned(PARAMS, {("ingest", "path"): value})
    expected = yaml.safe_load(PARAMS)
    expected["ingest"]["path"] = value
    assert yaml.safe_load(new) == expected
    assert new.startswith(PARAMS[: PARAMS.index("path")])
    assert new.endswith(PARAMS[PARAMS.index(" # of the folder") :])
