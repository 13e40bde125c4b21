"""Memory as the kernel accounts for it: whom it killed for want of it, and how much there is."""

import re
from collections.abc import Iterator
from pathlib import Path

MIB = 2**20
PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def kernel_kills(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """How many processes the kernel has killed because memory ran out: in our control group, else on the machine; None where it cannot
    be told. A rise during a stage says what killed it."""
    for folder, counter in ((folder, name) for folder in _own(proc, cgroups) for name in ("memory.events", "memory.oom_control")):
        if (count := _oom_kill(folder / counter)) is not None:
            return count
    return _oom_kill(proc / "vmstat")


def limit_mib(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """The memory that our processes may use together: the machine's, or the tightest limit of a control group around us."""
    total = re.search(r"MemTotal:\s+(\d+) kB", _text(proc / "meminfo"))
    limits = [int(total.group(1)) // 1024] if total else []
    for folder in (folder for own in _own(proc, cgroups) for folder in (own, *own.parents)):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (text := _text(folder / name).strip()).isdigit():  # version 2 writes "max" where there is none
                limits.append(int(text) // MIB)
    return min(limits, default=0)


def _own(proc: Path, cgroups: Path) -> Iterator[Path]:
    """Folders in which our control group may show: version 2's, version 1's, and their roots, which a container sees as its own."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = cgroups / controllers
            yield from dict.fromkeys((root / path.lstrip("/"), root))


def _oom_kill(path: Path) -> int | None:
    found = re.search(r"^oom_kill (\d+)$", _text(path), re.MULTILINE)
    return int(found.group(1)) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
