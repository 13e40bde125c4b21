"""A process group: who is in it, how much memory it holds, and how it is ended."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 5.0
MIB = 2**20
STATE, GROUP, RSS = 0, 2, 21  # places in /proc/PID/stat after the name, see proc(5)


@dataclass
class Footprint:
    """The most memory, in MiB, that the living processes of a group were seen to hold together. It is looked at twice a second."""

    group: int
    peak_mib: int = 0
    next_look_s: float = 0.0

    def look(self) -> None:
        """Measures, where the last look is long enough ago."""
        if (now := time.monotonic()) >= self.next_look_s:
            self.next_look_s = now + 0.5
            self.peak_mib = max(self.peak_mib, sum(_members(self.group)))


def end_group(leader: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
    """Ends what is left of the leader's process group: SIGTERM, and SIGKILL after the grace. Returns when all of it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _empties(leader.pid, within_s=0):
            break
        os.killpg(leader.pid, number)
        if _empties(leader.pid, within_s=grace_s):
            break
    leader.wait()


def _empties(group: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(True for _ in _members(group)):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _members(group: int) -> Iterator[int]:
    """The memory, in MiB, of each living process of the group. A zombie is none: the leader stays one until waited for, its pid ours."""
    page = os.sysconf("SC_PAGE_SIZE")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[GROUP]) == group and fields[STATE] not in "ZX":
            yield int(fields[RSS]) * page // MIB
