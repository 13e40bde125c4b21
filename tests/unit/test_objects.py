"""One set of rules for both stores: a folder, and S3 by a real server."""

import os
import stat
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.bucket import S3Store
from components.errors import BadParams, StoreFailed
from components.objects import ABANDONED_S, PARTIAL, FolderStore, open_store

KEYS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda steps: "/".join([*steps, "file.bin"]))


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return FolderStore(tmp_path)
    server = request.getfixturevalue("s3")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return open_store(f"{server.url}/{tmp_path.name}")


def keys(store, prefix=""):
    return [one.key for one in store.stored(prefix)]


def test_what_is_put_comes_back(store):
    store.put("a/b/c", b"\0bytes")
    assert store.get("a/b/c") == b"\0bytes"
    assert store.get("a/b/other") is None
    assert store.get("a/b") is None if isinstance(store, S3Store) else True


def test_a_second_put_replaces_the_first(store):
    store.put("k", b"one")
    store.put("k", b"two!")
    assert store.get("k") == b"two!"
    assert [(one.key, one.num_bytes) for one in store.stored()] == [("k", 4)]


def test_an_object_of_several_parts_comes_back_however_it_was_written(store, tmp_path):
    data = os.urandom(9 << 20)
    store.put("k", data)
    assert store.download("k", tmp_path / "taken", len(data))
    assert (tmp_path / "taken").read_bytes() == data


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(store):
    for key in ("a/x", "a/deep/y", "ab/z"):
        store.put(key, b"1")
    assert keys(store, "a") == ["a/deep/y", "a/x"]
    assert keys(store) == ["a/deep/y", "a/x", "ab/z"]
    assert keys(store, "none") == []


def test_deleting_forgets_and_an_unknown_key_is_no_error(store):
    store.put("a/x", b"1")
    store.delete("a/x")
    store.delete("a/x")
    assert store.get("a/x") is None
    assert keys(store) == []


def test_an_object_counts_as_used_when_it_is_touched(store):
    store.put("old", b"1")
    before = next(store.stored()).modified_s
    time.sleep(1.1)  # S3 tells time in seconds
    store.touch("old")
    store.touch("unknown")
    assert next(store.stored()).modified_s > before
    assert store.get("old") == b"1"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(puts=st.lists(st.tuples(KEYS, st.binary(max_size=20)), max_size=8))
def test_a_store_is_a_mapping(store, puts):
    for key in keys(store):
        store.delete(key)
    for key, data in puts:
        store.put(key, data)
    assert {key: store.get(key) for key in keys(store)} == dict(puts)


def test_a_killed_writer_leaves_nothing_that_counts(tmp_path):
    (tmp_path / f"{PARTIAL}new").write_bytes(b"half")
    (tmp_path / f"{PARTIAL}old").write_bytes(b"half")
    os.utime(tmp_path / f"{PARTIAL}old", (0, time.time() - 2 * ABANDONED_S))
    assert keys(FolderStore(tmp_path)) == []
    assert [path.name for path in tmp_path.iterdir()] == [f"{PARTIAL}new"]  # someone may still be writing it


def test_a_folder_can_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        FolderStore(tmp_path).put("a/file.bin", b"x")
        FolderStore(tmp_path).swap("a/record.json", b"{}", None)
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / "a" / name).stat().st_mode) for name in ("file.bin", "record.json")} == {0o640}


def test_deleting_leaves_no_empty_folders(tmp_path):
    store = FolderStore(tmp_path)
    store.put("a/b/c", b"1")
    store.put("a/d", b"1")
    store.delete("a/b/c")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "d"]


def test_a_url_names_its_store():
    assert open_store(".vitrine/cache") == FolderStore(open_store(".vitrine/cache").root)
    for url, what in {"gs://bucket/x": "a folder or at s3://", "s3://": "names no bucket", "s3:///x": "names no bucket"}.items():
        with pytest.raises(BadParams, match=what):
            open_store(url)


def test_a_bucket_that_refuses_is_named_without_its_secret(s3, monkeypatch):
    for name, value in (s3.environment | {"AWS_SECRET_ACCESS_KEY": "wrong-secret"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreFailed, match=r"s3://shop/x/k: .*AWS_ENDPOINT_URL_S3 and the credentials") as caught:
        open_store("s3://shop/x").put("k", b"1")
    assert "wrong-secret" not in str(caught.value)
