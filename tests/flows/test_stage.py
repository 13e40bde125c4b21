"""How a stage's process group lives and ends, with the real DVC and without Prefect."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from flows.dag import read_dag
from flows.group import end_group
from flows.stage import StageFailed, StageTimedOut, run_stage, verdict_in


@pytest.fixture
def in_shop(lone_shop, monkeypatch):
    monkeypatch.chdir(lone_shop.folder)
    for key, value in lone_shop.environment.items():
        monkeypatch.setenv(key, value)
    return lone_shop


def stage_named(name):
    return next(stage for stage in read_dag() if stage.name == name)


def test_the_installed_dvc_says_ran_unchanged_and_restored_as_we_read_it(in_shop):
    lines = []
    assert run_stage(stage_named("pairs"), lines.append).verdict == "ran"
    assert "pairs starts" in lines
    assert run_stage(stage_named("pairs"), lines.append).verdict == "unchanged"
    (in_shop.folder / "data" / "pairs").unlink()
    assert run_stage(stage_named("pairs"), lines.append).verdict == "restored"


def test_the_installed_dvc_says_frozen_as_we_read_it_and_what_it_misses(in_shop):
    in_shop.dvc("repro", "label")
    in_shop.dvc("freeze", "label")
    (in_shop.folder / "data" / "pairs").write_text("other pairs")
    assert run_stage(stage_named("label"), lambda line: None).verdict == "frozen"
    (in_shop.folder / "data" / "labels").unlink()
    with pytest.raises(StageFailed, match=r"it is frozen, and .* not there\. `dvc checkout data/labels`, or `dvc unfreeze label`"):
        run_stage(stage_named("label"), lambda line: None)
    assert in_shop.dvc("checkout", "data/labels")[0] == 0
    assert run_stage(stage_named("label"), lambda line: None).verdict == "frozen"


def test_a_line_about_another_stage_is_no_verdict():
    assert verdict_in("WARNING: stage: 'label' is frozen. Its dependencies are not going to be reproduced.", "pairs") is None
    assert verdict_in("Running stage 'pairs_of_shoes':", "pairs") is None
    assert verdict_in("Stage 'label' didn't change, skipping", "pairs") is None
    assert verdict_in("Stage 'pairs' didn't change, skipping", "pairs") == "unchanged"


def test_a_failed_stage_names_itself_and_its_last_lines(in_shop):
    in_shop.knob("pairs.fails").write_text("1")
    with pytest.raises(StageFailed, match=r"(?s)^pairs failed after .*Its last lines:.*pairs has a bad day"):
        run_stage(stage_named("pairs"), lambda line: None)
    assert run_stage(stage_named("pairs"), lambda line: None).verdict == "ran"


def test_a_stage_past_its_time_limit_is_ended_with_all_its_processes(in_shop):
    in_shop.knob("pairs.hold").touch()
    lines = []
    with pytest.raises(StageTimedOut, match=r"pairs ran into its limit of 8 s \(meta.timeout_s in dvc.yaml\)"):
        run_stage(replace(stage_named("pairs"), timeout_s=8), lines.append)
    assert "pairs waits" in lines
    assert in_shop.processes() == []


def test_lines_come_while_the_stage_still_runs_and_a_progress_bar_is_lines_too(in_shop):
    came = []
    program = "import sys, time; sys.stdout.write('10 %\\r20 %\\r'); sys.stdout.flush(); time.sleep(1); print('end')"
    with pytest.raises(StageFailed, match="did not say whether it ran"):
        run_stage(stage_named("pairs"), lambda line: came.append((line, time.monotonic())), command=(sys.executable, "-c", program))
    assert [line for line, _ in came] == ["10 %", "20 %", "end"]
    assert came[2][1] - came[1][1] > 0.8


def test_a_process_that_the_stage_left_behind_is_ended_and_not_waited_for(in_shop):
    program = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print(\"Running stage 'pairs':\")"
    started = time.monotonic()
    assert run_stage(stage_named("pairs"), lambda line: None, command=(sys.executable, "-c", program)).verdict == "ran"
    assert time.monotonic() - started < 5
    assert in_shop.processes() == []


def test_a_group_that_ignores_sigterm_is_killed_after_the_grace():
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    leader = subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True, stdout=subprocess.PIPE)
    leader.stdout.readline()
    end_group(leader, grace_s=0.2)
    leader.stdout.close()
    assert leader.returncode == -signal.SIGKILL


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.5])
def test_a_caller_killed_at_any_moment_leaves_no_process(in_shop, delay_s):
    """Also none of a stage that is silent, so that no broken pipe ends it, and that has not asked to die with its parent."""
    silent = ("sh", "-c", "sleep 60; true")
    program = f"from flows.dag import read_dag; from flows.stage import run_stage; run_stage(read_dag()[0], print, command={silent})"
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    while len(in_shop.processes()) < 2:  # the caller, and the guard that it started
        time.sleep(0.002)
    time.sleep(delay_s)
    caller.kill()
    caller.wait()
    in_shop.await_empty(limit_s=3)


def test_a_stage_may_be_run_from_a_thread(in_shop):
    """The kernel's parent-death signal follows the starting thread, so that thread must be the one that waits."""
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(run_stage(stage_named("pairs"), lambda line: None).verdict))
    thread.start()
    thread.join()
    assert verdicts == ["ran"]
