"""A disk of a few megabytes that a test can fill: a tmpfs, which only root may mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A mounted disk. `fill` takes all room but so many bytes, which `free` gives back."""

    folder: Path

    def fill(self, leave_bytes: int = 0) -> None:
        """Leaves so many bytes, rounded down to the disk's blocks of 4 KiB."""
        self.free()
        stat = os.statvfs(self.folder)
        with open(self.folder / "filler", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, stat.f_bavail * stat.f_frsize - leave_bytes))

    def free(self) -> None:
        """Makes room again."""
        (self.folder / "filler").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[SmallDisk]:
    """A disk mounted at `folder`. The test is skipped where none can be mounted, and fails where root in continuous integration cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "vitrine-test", folder], capture_output=True, text=True)
    if done.returncode:
        message = f"no small disk can be mounted here: {done.stderr.strip()}"
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail(message)
        pytest.skip(message)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
