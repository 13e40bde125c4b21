import os
import time

import pytest

from components.objects import FolderStore
from components.work_cache import MAX_SEGMENTS, TOUCH_AFTER_S, WorkCache, begin, settle, trim


def cache(folder, code="1", *, name="embed", paid=False):
    return WorkCache(FolderStore(folder), name, {"code": code, "model": "m"}, paid=paid)


def keep(folder, name, **values):
    """A pack with these values, flushed as by a run that was then killed."""
    pack = cache(folder).pack(name)
    for key, value in values.items():
        pack.put(key, value)
    pack.flush()


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("cache: {url: cache, max_gib: 2.0e-6}\n")  # about two kilobytes
    begin()
    return tmp_path / "cache"


def test_what_was_flushed_is_there_next_time_and_what_was_not_is_not(tmp_path):
    pack = cache(tmp_path).pack("s0")
    pack.put("a", b"1")
    pack.flush()
    pack.put("b", b"2")
    again = cache(tmp_path).pack("s0")
    assert (again.get("a"), again.get("b")) == (b"1", None)
    assert (again.reused, again.recomputed) == (1, 1)


def test_a_stage_that_fails_keeps_what_it_has_finished(tmp_path):
    def stage():
        with cache(tmp_path).pack("s0") as pack:
            pack.put("a", b"1")
            raise KeyError

    with pytest.raises(KeyError):
        stage()
    assert cache(tmp_path).pack("s0").get("a") == b"1"


def test_another_identity_or_pack_knows_nothing_of_it(tmp_path):
    keep(tmp_path, "s0", a=b"1")
    assert cache(tmp_path, "other code").pack("s0").get("a") is None
    assert cache(tmp_path).pack("s1").get("a") is None


def test_two_parts_of_an_identity_are_not_taken_for_one(tmp_path):
    one = WorkCache(FolderStore(tmp_path), "embed", {"a": "1", "b": "2"})
    other = WorkCache(FolderStore(tmp_path), "embed", {"a": "1\0b=2"})
    assert one.prefix != other.prefix


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"?", lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_damaged_segment_is_dropped_and_its_work_done_again(tmp_path, damage):
    keep(tmp_path, "s0", a=b"1")
    [segment] = tmp_path.rglob("*.parquet")
    segment.write_bytes(damage(segment.read_bytes()))
    assert cache(tmp_path).pack("s0").get("a") is None
    assert not segment.exists()


def test_many_small_flushes_are_gathered_when_the_next_run_ends(tmp_path):
    for number in range(MAX_SEGMENTS + 1):
        keep(tmp_path, "s0", **{f"k{number}": b"%d" % number})
    wanted = {f"k{n}": b"%d" % n for n in range(MAX_SEGMENTS)}
    with cache(tmp_path).pack("s0") as pack:
        assert {key: pack.get(key) for key in wanted} == wanted
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    again = cache(tmp_path).pack("s0")
    assert {key: again.get(key) for key in wanted} == wanted
    assert again.get(f"k{MAX_SEGMENTS}") is None  # of a picture that is gone: nobody asked for it


def test_answers_that_were_paid_for_outlive_the_run_that_had_no_use_for_them(tmp_path):
    for number in range(MAX_SEGMENTS + 1):
        pack = cache(tmp_path, paid=True).pack("answers")
        pack.put(str(number), b"yes")
        pack.flush()
    cache(tmp_path, paid=True).pack("answers").close()
    again = cache(tmp_path, paid=True).pack("answers")
    assert [again.get(str(n)) for n in range(MAX_SEGMENTS + 1)] == [b"yes"] * (MAX_SEGMENTS + 1)


def test_above_its_size_the_cache_forgets_what_was_used_longest_ago(tmp_path):
    store = FolderStore(tmp_path)
    for age, key in enumerate(["newest", "older", "oldest"]):
        store.put(f"embed/{key}", b"x" * 100)
        os.utime(tmp_path / "embed" / key, (0, time.time() - 1000 * age))
    assert [one.key for one in trim(store, 250)] == ["embed/oldest"]
    assert [one.key for one in trim(store, 100)] == ["embed/older"]
    assert trim(store, 100) == []


def test_paid_answers_are_never_forgotten_but_count(tmp_path):
    store = FolderStore(tmp_path)
    store.put("paid/label/a", b"x" * 100)
    store.put("embed/b", b"x" * 100)
    assert [one.key for one in trim(store, 50)] == ["embed/b"]
    assert store.get("paid/label/a")


def test_reading_a_pack_renews_it_so_that_it_is_not_the_next_to_go(tmp_path):
    keep(tmp_path, "s0", a=b"1")
    [segment] = tmp_path.rglob("*.parquet")
    os.utime(segment, (0, time.time() - 2 * TOUCH_AFTER_S))
    cache(tmp_path).pack("s0")
    assert segment.stat().st_mtime > time.time() - TOUCH_AFTER_S


def test_a_stage_says_what_it_reused_and_which_part_of_its_identity_is_new(workspace):
    def run(code, last):
        own, beside = cache(workspace, code), cache(workspace, name="histograms")
        for one in (own, beside):
            with one.pack("s0") as pack:
                for key in ("a", "b"):
                    if pack.get(key) is None:
                        pack.put(key, b"1")
            one.close()
        return settle("embed", last)

    (workspace.parent / "params.yaml").write_text("cache: {url: cache, max_gib: 1.0}\n")
    first = run("1", None)
    assert (first["reused"], first["recomputed"], first["changed"]) == (0, 2, [])
    second = run("1", first)
    assert (second["reused"], second["recomputed"], second["changed"]) == (2, 0, [])
    third = run("2", second)
    assert (third["reused"], third["recomputed"], third["changed"]) == (0, 2, ["code"])
    assert third["beside"] == {"histograms": {"reused": 2, "recomputed": 0}}


def test_a_stage_without_a_cache_says_nothing_of_one(workspace):
    assert settle("split", None) is None


def test_the_end_of_a_stage_brings_the_cache_within_its_size(workspace):
    FolderStore(workspace).put("embed/old/s0/x", b"x" * 3000)
    one = cache(workspace)
    with one.pack("s0") as pack:
        pack.put("a", b"1")
    one.close()
    settle("embed", None)
    assert sum(stored.num_bytes for stored in FolderStore(workspace).stored()) < 2150
    assert cache(workspace).pack("s0").get("a") == b"1"
