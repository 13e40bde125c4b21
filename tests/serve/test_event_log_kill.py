"""kill -9 at any moment: every event that was acknowledged comes to the store, exactly once."""

import asyncio
import collections
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.serve.log_shop import keys, opened, rows

PROJECT = Path(__file__).parents[2]
MOMENTS = ("before put", "while put", "after put", "while deleting")


def killed(folder, number, moment, after_s=None):
    """The ids that the process acknowledged before it was killed, by itself or after so many seconds of acknowledging."""
    command = [sys.executable, "-m", "tests.serve.log_child", str(folder), str(number), moment]
    child = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = collections.deque()
    ear = threading.Thread(target=lambda: said.extend(iter(child.stdout.readline, b"")))
    ear.start()
    try:
        if after_s is not None:
            end = time.monotonic() + 30
            while not said and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(after_s)
            child.kill()
        child.wait(30)
    finally:
        child.kill()
        ear.join(30)
    assert child.returncode == -signal.SIGKILL, child.stderr.read().decode()
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


def settled(folder):
    """The acknowledged rows of both tables as they lie in the store after a restart and a flush."""

    async def run():
        async with opened(folder, clock=time.time) as log:
            await log.flush()
            return log.state()

    state = asyncio.run(run())
    assert (state.backlog_rows, state.backlog_bytes, state.set_aside) == (0, 0, 0)
    return collections.Counter(
        [row["event_id"] for row in rows(folder)] + [row["request_id"] for row in rows(folder, "predictions")],
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment_of_a_flush_nothing_acknowledged_is_lost_or_doubled(tmp_path, moment):
    acknowledged = killed(tmp_path, 1, moment)
    assert len(acknowledged) > 50
    found = settled(tmp_path)
    assert set(found.values()) == {1}
    assert not set(acknowledged) - found.keys()


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_at_random_nothing_acknowledged_is_lost_or_doubled(tmp_path, seed):
    rng, acknowledged = random.Random(seed), []
    for number in range(3):
        acknowledged += killed(tmp_path, number, "never", after_s=rng.uniform(0.05, 0.9))
    files_before = len(keys(tmp_path))
    found = settled(tmp_path)
    assert set(found.values()) == {1}
    assert not set(acknowledged) - found.keys()
    assert len(acknowledged) > 200
    assert 0 < files_before < len(keys(tmp_path)), "it was killed between two flushes"
