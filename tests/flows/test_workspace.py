"""Whether a folder can be worked in, and which of DVC's locks are stale."""

import json
import os
import subprocess
import time

import pytest

from components.errors import BadWorkspace, StageBusy
from flows.workspace import dvc_root, is_alive, release_stale


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def write_rwlock(tmp, pid, age_s=0.0, out="data/pairs"):
    info = {"pid": pid, "cmd": "dvc repro"}
    path = tmp / "rwlock"
    path.write_text(json.dumps({"write": {str(out): info}, "read": {"seed.txt": [info]}}))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_lock_whose_pid_belongs_to_a_younger_process_is_removed_where_dvc_alone_would_wait_for_ever(lone_shop, sleeper):
    rwlock = write_rwlock(lone_shop.folder / ".dvc" / "tmp", sleeper.pid, age_s=3600, out=lone_shop.folder / "data" / "pairs")
    status, output = lone_shop.dvc("repro", "--single-item", "pairs")
    assert status != 0
    assert "is busy" in output
    os.utime(rwlock, (time.time() - 3600,) * 2)  # DVC has just rewritten the file around the entry
    said = []
    release_stale(rwlock.parent, said.append)
    assert said == [f"removed the lock of a DVC process that is gone: pid {sleeper.pid} (dvc repro)"]
    status, output = lone_shop.dvc("repro", "--single-item", "pairs")
    assert status == 0, output


def test_a_lock_of_a_dead_process_is_removed(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    rwlock = write_rwlock(tmp_path, ended.pid)
    release_stale(tmp_path)
    assert not rwlock.exists()


def test_a_lock_of_a_zombie_is_removed(tmp_path):
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    rwlock = write_rwlock(tmp_path, zombie.pid)
    release_stale(tmp_path)
    assert not rwlock.exists()
    zombie.wait()


def test_a_lock_of_a_process_at_work_is_kept_and_its_pid_told(tmp_path, sleeper):
    rwlock = write_rwlock(tmp_path, sleeper.pid)
    with pytest.raises(StageBusy, match=rf"pid {sleeper.pid} \(dvc repro\)"):
        release_stale(tmp_path)
    assert rwlock.exists()


@pytest.mark.parametrize("content", ["", '{"write": {"a": {"pid"', "[]", "{}", '{"write": {"a": 3}}'])
def test_a_lock_file_cut_short_or_empty_is_removed(tmp_path, content):
    (tmp_path / "rwlock").write_text(content)
    release_stale(tmp_path)
    assert not (tmp_path / "rwlock").exists()


def test_no_lock_is_no_news(tmp_path):
    release_stale(tmp_path, say=pytest.fail)
    assert list(tmp_path.iterdir()) == []


def test_a_process_counts_as_the_writer_only_if_it_was_there_first(sleeper):
    assert is_alive(sleeper.pid, entry_time_s=time.time())
    assert not is_alive(sleeper.pid, entry_time_s=time.time() - 60)


def test_the_root_is_the_nearest_folder_with_dvc_in_it(tmp_path):
    inner = tmp_path / "shops" / "tokyo"
    inner.mkdir(parents=True)
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(BadWorkspace, match=r"params\.yaml not found"):
        dvc_root(inner)
    for name in ("params.yaml", "dvc.yaml"):
        (inner / name).touch()
    assert dvc_root(inner) == tmp_path.resolve()
    (tmp_path / ".dvc").rmdir()
    with pytest.raises(BadWorkspace, match="dvc init"):
        dvc_root(inner)
