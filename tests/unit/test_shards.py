import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import schema
from components.errors import BadData
from components.shards import read_shards, shard_of, shard_paths, shards_of, write_shards

IDS = st.lists(st.text(min_size=1, max_size=12).filter(lambda s: s.encode("utf-8", "ignore").decode() == s), unique=True, max_size=40)


def splits(ids):
    rows = [{"item_id": i, "split": "train", "group": f"g{i}"} for i in ids]
    return pa.Table.from_pylist(rows, schema.SPLITS)


@given(ids=IDS, num_shards=st.integers(1, 9))
def test_every_row_lies_once_and_in_the_shard_of_its_key(tmp_path_factory, ids, num_shards):
    folder = tmp_path_factory.mktemp("table")
    write_shards(folder, splits(ids), schema.SPLITS, num_shards)
    assert len(shard_paths(folder)) == num_shards
    assert sorted(read_shards(folder)["item_id"].to_pylist()) == sorted(ids)
    for number, path in enumerate(shard_paths(folder)):
        assert all(shard_of(i, num_shards) == number for i in pq.read_table(path)["item_id"].to_pylist())


def test_equal_tables_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_shards(tmp_path / name, splits(["x", "y", "z"]), schema.SPLITS, 2)
    digests = [[hashlib.sha256(p.read_bytes()).hexdigest() for p in shard_paths(tmp_path / name)] for name in ("a", "b")]
    assert digests[0] == digests[1]


def test_a_table_of_another_shape_is_refused(tmp_path):
    with pytest.raises(BadData, match="does not fit its schema"):
        write_shards(tmp_path / "t", pa.table({"item_id": ["a"]}), schema.SPLITS, 1)


def test_a_folder_without_shards_is_named(tmp_path):
    with pytest.raises(BadData, match="holds no shards"):
        read_shards(tmp_path)


@given(chunks=st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"])), min_size=1, max_size=4), num_shards=st.integers(1, 5))
def test_a_table_in_pieces_is_placed_like_a_whole_one(chunks, num_shards):
    keys = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks])
    assert shards_of(keys, num_shards).tolist() == [shard_of(key, num_shards) for chunk in chunks for key in chunk]
