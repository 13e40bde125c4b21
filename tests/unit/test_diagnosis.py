import pytest

from flows.diagnosis import Failure, cause

PARAMS = {"finetune": {"train": {"batch_size": 32}}, "ingest": {"num_shards": 8}}


def failure(*lines, **known):
    usual = {
        "stage": "finetune",
        "status": 255,
        "seconds": 3.14,
        "peak_mib": 1234,
        "limit_mib": 2048,
        "by_kernel": False,
        "was_frozen": False,
    }
    return Failure(lines=lines, **usual | known)


KILLED = "ERROR: failed to reproduce 'finetune': failed to run: vitrine run finetune, exited with -9"


def test_a_stage_that_the_kernel_killed_says_so_with_its_memory_and_what_to_lower():
    assert cause(failure(KILLED, by_kernel=True), PARAMS) == (
        "was killed by the kernel after 3.1 s, since memory ran out (last seen using 1,234 of 2,048 MiB). In params.yaml lower "
        "finetune.train.batch_size (now 32) or raise ingest.num_shards (now 8; a stage holds a shard at a time), or run it where there "
        "is more memory; see docs/runbook.md#out-of-memory"
    )


@pytest.mark.parametrize(
    ("by_kernel", "doubt"),
    [(False, "killed (signal 9), though not by the kernel of this machine, after"), (None, "killed (signal 9) after")],
)
def test_a_stage_killed_by_someone_else_is_not_blamed_on_the_kernel(by_kernel, doubt):
    said = cause(failure(KILLED, by_kernel=by_kernel), PARAMS)
    assert f"was {doubt} 3.1 s (last seen" in said
    assert "most often for want of memory" in said
    assert "finetune.train.batch_size" in said


@pytest.mark.parametrize(
    ("line", "status"), [("failed to run: vitrine run finetune, exited with 137", 255), ("Running stage 'finetune':", 137)]
)
def test_a_kill_behind_a_shell_and_one_of_dvc_itself_are_kills_too(line, status):
    assert "was killed" in cause(failure(line, status=status), PARAMS)


def test_an_ordinary_failure_stays_one():
    assert cause(failure("exited with 1", by_kernel=True), PARAMS) == "failed after 3.1 s"


@pytest.mark.parametrize(
    "said", ["ERROR: unexpected error - [Errno 28] No space left on device: 'x'", "OSError: [Errno 122] Disk quota exceeded"]
)
def test_a_disk_that_dvc_found_full_is_named_with_its_room(said):
    told = cause(failure(said), PARAMS)
    assert "failed after 3.1 s: the disk is full; " in told
    assert " MB are free on /" in told


def test_what_dvc_says_on_a_full_disk_is_not_put_down_to_one_that_has_room():
    said = "ERROR: failed to reproduce 'embed': Unable to read RWLock-file '.dvc/tmp/rwlock'. JSON structure is corrupted"
    assert cause(failure(said), PARAMS) == "failed after 3.1 s"


def test_what_the_stage_has_told_already_is_not_told_again():
    assert cause(failure("DiskFull: finetune: the disk is full. (No space left on device)"), PARAMS) == "failed after 3.1 s"


def test_another_dvc_at_work_a_frozen_stage_without_outs_and_an_unreadable_lock_say_what_to_do():
    busy = cause(failure("ERROR: '/w/data' is busy, it is being blocked by:", "  (PID 7): dvc repro"), PARAMS)
    assert "another DVC command works in this workspace" in busy
    missing = failure("ERROR: failed to reproduce 'finetune': missing data 'sources': models/encoder, reports/f.json", was_frozen=True)
    assert "`dvc checkout models/encoder reports/f.json`, or `dvc unfreeze finetune`" in cause(missing, PARAMS)
    assert "git checkout dvc.lock" in cause(failure("'./dvc.lock' is invalid."), PARAMS)
