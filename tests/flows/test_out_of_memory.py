"""A stage that the kernel kills for want of memory, in a control group of its own, and one that somebody else kills."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.flows.conftest import VITRINE

CGROUPS = Path("/sys/fs/cgroup")
LIMIT_MIB = 900  # enough for the flow and DVC
ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@pytest.fixture
def tight_group():
    """A control group of LIMIT_MIB; skipped where none can be made."""
    for parent, limit in ((CGROUPS / "memory", "memory.limit_in_bytes"), (CGROUPS, "memory.max")):
        group = parent / f"vitrine-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
        if (group / limit).exists():
            (group / limit).write_text(str(LIMIT_MIB * 2**20))
            for swap in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
                with contextlib.suppress(OSError):
                    (group / swap).write_text("0" if swap == "memory.swap.max" else str(LIMIT_MIB * 2**20))
            yield group
            group.rmdir()
            return
        if group.exists():
            group.rmdir()
    pytest.skip("no control group with a memory limit can be made here")


def retrain_in(group, shop):
    done = subprocess.run(
        ["sh", "-c", ENTER, str(group), VITRINE, "retrain"],
        cwd=shop.folder,
        env=shop.environment,
        text=True,
        capture_output=True,
        timeout=90,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_stage_that_the_kernel_kills_is_told_with_its_memory_and_is_retried_first(tight_group, shop, unkilled_digests):
    shop.knob("label.eats").write_text("2")  # label has one retry
    status, output = retrain_in(tight_group, shop)
    assert status == 1
    assert "label was killed by the kernel after" in output
    assert f" of {LIMIT_MIB} MiB)" in output
    assert "docs/runbook.md#out-of-memory" in output
    assert "Traceback" not in output
    status, output = retrain_in(tight_group, shop)
    assert status == 0, output
    assert shop.digests() == unkilled_digests


def test_a_stage_that_is_killed_once_is_retried_and_the_flow_goes_on(shop, unkilled_digests):
    shop.knob("label.dies").write_text("1")
    status, output = shop.retrain()
    assert status == 0, output
    assert "was killed (signal 9)" in output
    assert shop.digests() == unkilled_digests


def test_a_stage_killed_by_someone_is_told_as_a_kill(shop):
    shop.knob("evaluate.dies").write_text("1")  # evaluate has no retry
    status, output = shop.retrain()
    assert status == 1
    assert "evaluate was killed (signal 9)" in output
    assert "it is most often for want of memory" in output
    assert "Traceback" not in output
