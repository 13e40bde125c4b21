"""Guards a command: `python -m flows.launch PARENT COMMAND [ARGUMENT...]` ends with the command, or ends it with PARENT.

It leads the command's process group (start it in a session of its own). When the process PARENT is gone, also by SIGKILL, the whole
group is killed: that reaches a stage which is still starting and has not yet asked to die with its own parent. It asks for
SIGUSR1 on PARENT's death, so that SIGTERM to the group stays a polite request to the command alone.
"""

import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

from components.process import PR_SET_PDEATHSIG


def _kill_group(_signal: int = 0, _frame: FrameType | None = None) -> None:
    os.killpg(0, signal.SIGKILL)


def guard(parent: int, command: list[str]) -> int:
    """The command's exit status, 128 + n where signal n ended it."""
    signal.signal(signal.SIGUSR1, _kill_group)
    signal.signal(signal.SIGTERM, lambda *_: None)  # not SIG_IGN, which the command would inherit
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != parent:
        return 128 + signal.SIGKILL  # it died before the kernel was asked
    code = subprocess.Popen(command, close_fds=False).wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2:]))
