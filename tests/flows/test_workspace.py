"""Whether a folder can be worked in, and which of DVC's locks are stale."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import zc.lockfile

from components.errors import BadWorkspace, StageBusy
from flows.workspace import Holder, dvc_root, is_alive, mend_lock_file, release_stale
from tests.flows.conftest import SCRIPTS


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    while not psutil.Process(process.pid).cmdline():  # the kernel has it a moment after it was started
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def write_rwlock(tmp, pid, age_s=0.0, out="data/pairs", command="sleep 60"):
    info = {"pid": pid, "cmd": command}
    path = tmp / "rwlock"
    path.write_text(json.dumps({"write": {str(out): info}, "read": {"seed.txt": [info]}}))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_lock_whose_pid_belongs_to_another_process_now_is_removed_where_dvc_alone_would_wait_for_ever(lone_shop, sleeper):
    tmp, out = lone_shop.folder / ".dvc" / "tmp", lone_shop.folder / "data" / "pairs"
    rwlock = write_rwlock(tmp, sleeper.pid, age_s=3600, out=out, command="dvc repro")
    status, output = lone_shop.dvc("repro", "--single-item", "pairs")
    assert status != 0
    assert "is busy" in output
    lone_shop.dvc("status")
    assert time.time() - rwlock.stat().st_mtime < 60  # DVC rewrote the file around the entry, whose age is lost with that
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
    with pytest.raises(StageBusy, match=rf"pid {sleeper.pid} \(sleep 60\)"):
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


def test_a_process_counts_as_the_writer_only_if_it_was_there_first_and_was_started_with_that_command(sleeper):
    now = time.time()
    assert is_alive(Holder(sleeper.pid, "/usr/bin/sleep 60"), entry_time_s=now)
    assert not is_alive(Holder(sleeper.pid, "sleep 60"), entry_time_s=now - 60)
    assert not is_alive(Holder(sleeper.pid, "sleep 61"), entry_time_s=now)
    assert not is_alive(Holder(sleeper.pid, "dvc 60"), entry_time_s=now)


def test_a_process_that_is_just_being_started_is_taken_for_nobody_else():
    for _ in range(20):  # in most of them it has no command line yet
        with subprocess.Popen(["sleep", "60"]) as process:
            alive = is_alive(Holder(process.pid, "sleep 60"), entry_time_s=time.time())
            process.kill()
        assert alive


@pytest.mark.parametrize("start", [[sys.executable, "-m", "dvc"], [str(Path(SCRIPTS) / "dvc")]])
def test_dvc_at_work_is_known_however_it_was_started(lone_shop, start):
    """What DVC notes in its lock is found again in the command line of its process, and so is not taken for another's."""
    lone_shop.knob("pairs.hold").touch()
    dvc = lone_shop.start_dvc("repro", "pairs", start=start)
    lone_shop.await_output("pairs waits")
    with pytest.raises(StageBusy, match=rf"pid {dvc.pid} \(.*repro pairs\)"):
        release_stale(lone_shop.folder / ".dvc" / "tmp")
    dvc.kill()
    dvc.wait()
    lone_shop.await_empty()
    release_stale(lone_shop.folder / ".dvc" / "tmp")


WHOLE, LATER = b"schema: '2.0'\nstages:\n  pairs: {}\n", b"schema: '2.0'\nstages:\n  pairs: {}\n  label: {}\n"


@pytest.mark.parametrize("cut", [b"", LATER[:-3], LATER[:20]])
def test_a_dvc_lock_cut_short_is_put_back_from_the_copy(tmp_path, cut):
    path, kept, said = tmp_path / "dvc.lock", tmp_path / "kept", []
    path.write_bytes(WHOLE)
    mend_lock_file(tmp_path, path, kept, said.append)
    assert (path.read_bytes(), kept.read_bytes(), said) == (WHOLE, WHOLE, [])
    path.write_bytes(cut)
    mend_lock_file(tmp_path, path, kept, said.append)
    assert path.read_bytes() == WHOLE
    assert "cut short" in said[0]


def test_a_dvc_lock_cut_short_without_a_copy_is_set_aside(tmp_path):
    (tmp_path / "dvc.lock").write_bytes(LATER[:20])
    said = []
    mend_lock_file(tmp_path / "tmp", tmp_path / "dvc.lock", tmp_path / "kept", said.append)
    assert "set aside" in said[0]
    assert not (tmp_path / "dvc.lock").exists()
    assert (tmp_path / "dvc.lock.cut").read_bytes() == LATER[:20]


@pytest.mark.parametrize("has_copy", [True, False])
def test_a_dvc_lock_that_a_living_dvc_is_writing_is_left_to_it(tmp_path, has_copy):
    path, kept = tmp_path / "dvc.lock", tmp_path / "kept"
    path.write_bytes(b"")  # as DVC opens it
    if has_copy:
        kept.write_bytes(WHOLE)
    with contextlib.closing(zc.lockfile.LockFile(str(tmp_path / "lock"))), pytest.raises(StageBusy, match="starting or ending"):
        mend_lock_file(tmp_path, path, kept, pytest.fail)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("text", [LATER, b"<<<<<<< HEAD\nstages: {}\n=======\n"])
def test_a_whole_dvc_lock_is_left_as_it_is_also_with_the_marks_of_a_merge(tmp_path, text):
    (tmp_path / "dvc.lock").write_bytes(text)
    (tmp_path / "kept").write_bytes(WHOLE)
    mend_lock_file(tmp_path, tmp_path / "dvc.lock", tmp_path / "kept", pytest.fail)
    assert (tmp_path / "dvc.lock").read_bytes() == text


def test_a_flow_goes_on_after_dvc_was_killed_while_it_wrote_dvc_lock(shop, unkilled_digests):
    status, output = shop.retrain()
    assert status == 0, output
    path = shop.folder / "dvc.lock"
    path.write_bytes(path.read_bytes()[:20])
    assert "dvc.lock' is invalid" in shop.dvc("repro")[1]
    status, output = shop.retrain()
    assert status == 0, output
    assert "dvc.lock was cut short" in output
    assert shop.digests() == unkilled_digests


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
