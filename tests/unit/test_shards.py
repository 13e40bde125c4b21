import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import schema
from components.errors import BadData
from components.objects import FolderStore
from components.shards import WorkCache, read_shards, shard_of, shard_paths, write_shards

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


def cache(tmp_path, *identity):
    return WorkCache(FolderStore(tmp_path), "embed", identity or ("code",))


def test_what_was_flushed_is_there_next_time_and_what_was_not_is_not(tmp_path):
    pack = cache(tmp_path).pack("s0")
    pack.put("a", b"1")
    pack.flush()
    pack.put("b", b"2")
    again = cache(tmp_path).pack("s0")
    assert (again.get("a"), again.get("b")) == (b"1", None)
    assert (again.reused, again.recomputed) == (1, 1)


def test_another_identity_or_pack_knows_nothing_of_it(tmp_path):
    pack = cache(tmp_path).pack("s0")
    pack.put("a", b"1")
    pack.flush()
    assert cache(tmp_path, "other code").pack("s0").get("a") is None
    assert cache(tmp_path).pack("s1").get("a") is None


def test_a_damaged_segment_is_dropped_and_its_work_done_again(tmp_path):
    pack = cache(tmp_path).pack("s0")
    pack.put("a", b"1")
    pack.flush()
    [segment] = tmp_path.rglob("*.parquet")
    segment.write_bytes(segment.read_bytes()[:-1] + b"?")
    assert cache(tmp_path).pack("s0").get("a") is None
    assert not segment.exists()


def test_many_small_flushes_are_gathered_and_nothing_is_lost(tmp_path):
    pack = cache(tmp_path).pack("s0")
    for number in range(40):
        pack.put(str(number), b"%d" % number)
        pack.flush()
    again = cache(tmp_path).pack("s0")
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    assert {k: again.get(k) for k in map(str, range(40))} == {str(n): b"%d" % n for n in range(40)}


def test_a_writer_that_dies_leaves_no_object(tmp_path, monkeypatch):
    store = FolderStore(tmp_path)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.put("a/b", b"data")
    assert list(store.keys("a")) == []
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]
