"""Programs that a command runs beside itself and takes with it, however it ends."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.group import end_group


@contextmanager
def child(command: Sequence[str], folder: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The command in `folder`, writing to `log`, in a group that is ended with the block, or by the kernel with this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    modules = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    programs = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]  # where `vitrine` is
    with open(log, "wb") as output:
        leader = subprocess.Popen(
            [sys.executable, "-m", "flows.launch", str(os.getpid()), *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(modules), "PATH": os.pathsep.join(programs)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield leader
    finally:
        end_group(leader)
