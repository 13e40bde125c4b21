import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from components.errors import StageBusy
from components.process import alone, patiently

CHILD = "import time; from components.process import die_with_parent; die_with_parent(); print('up', flush=True); time.sleep(60)"


def wait_until_gone(pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("shells", ["", "sh -c ", "bash -c "])
def test_a_stage_dies_when_its_parent_is_killed_also_behind_shells(shells, tmp_path):
    """DVC starts a stage through a shell, which may or may not stay between them."""
    script = tmp_path / "stage.py"
    script.write_text(CHILD)
    command = f"{sys.executable} {script}; true"
    shell_line = shells + shlex.quote(command) if shells else command
    code = f"import subprocess; subprocess.run({shell_line!r}, shell=True)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        [stage] = [p for p in psutil.Process(parent.pid).children(recursive=True) if p.cmdline()[-1] == str(script)]
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert wait_until_gone(stage.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)


def test_a_stage_whose_dvc_is_already_gone_does_not_start():
    """Killed while the stage was still importing, DVC leaves a child that init has adopted."""
    env = {k: v for k, v in os.environ.items() if k != "DVC_STAGE"}
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], env=eval(sys.argv[2]))"
    for stage, expected in (({}, b"up\n"), ({"DVC_STAGE": "embed"}, b"")):
        quick = CHILD.replace("time.sleep(60)", "0")
        done = subprocess.run([sys.executable, "-c", code, quick, repr(env | stage)], stdout=subprocess.PIPE, timeout=30)
        assert done.stdout == expected


def test_a_lock_is_held_by_one_and_freed_with_the_block(tmp_path):
    with alone("embed", tmp_path):
        with pytest.raises(StageBusy, match=rf"embed is already running in this workspace \(pid {os.getpid()}\)"), alone("embed", tmp_path):
            pass
        with alone("index", tmp_path):
            pass
    with alone("embed", tmp_path):
        pass


def test_a_lock_is_waited_for_and_its_holder_named_once(tmp_path):
    said: list[str] = []
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with alone("embed", tmp_path):
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)  # flock counts by open file, so a thread holds it as another process would
    holder.start()
    assert held.wait(10)
    threading.Timer(0.7, release.set).start()
    with alone("embed", tmp_path, 30, said.append):
        assert release.is_set()
    holder.join()
    assert len(said) == 1
    assert said[0].startswith(f"embed is already running in this workspace (pid {os.getpid()}); waiting for it, 30 s at most")


def test_who_waited_in_vain_is_told_as_if_it_had_not_waited(tmp_path):
    said: list[str] = []
    with alone("embed", tmp_path), pytest.raises(StageBusy, match=rf"pid {os.getpid()}"), alone("embed", tmp_path, 0.3, said.append):
        pass
    assert len(said) == 1


def test_another_holder_is_named_anew_and_another_error_is_not_waited_for():
    said: list[str] = []
    answers = iter([StageBusy("pid 1. Wait."), StageBusy("pid 1. Wait."), StageBusy("pid 2. Wait."), ValueError("own")])

    def act() -> None:
        raise next(answers)

    with pytest.raises(ValueError, match="own"):
        patiently(act, 30, said.append)
    assert [line.partition(";")[0] for line in said] == ["pid 1", "pid 2"]
