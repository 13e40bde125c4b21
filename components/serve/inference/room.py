"""The memory that this process has and may have, in bytes, as the kernel says."""

import re
from pathlib import Path

MIB = 2**20
OURS_SHARE = 0.8  # of the limit; the rest is left to the system and to what is not counted here
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory.limit_in_bytes", "memory/memory.limit_in_bytes")  # of control groups, version 2 and 1


def limit_bytes(memory_mib: int, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """What the process may take: `memory_mib`, or where that is 0, OURS_SHARE of the machine's memory or of a tighter control group."""
    if memory_mib:
        return memory_mib * MIB
    machine = int(re.search(r"MemTotal:\s+(\d+) kB", (proc / "meminfo").read_text())[1]) * 1024  # type: ignore[index]
    groups = (cgroups / name for name in LIMITS)
    told = [int(text) for path in groups if path.is_file() and (text := path.read_text().strip()).isdigit()]
    return int(OURS_SHARE * min([machine, *told]))


def taken_bytes(proc: Path = PROC) -> int:
    """What the process has resident now."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", (proc / "self" / "status").read_text())[1]) * 1024  # type: ignore[index]


def processor(proc: Path = PROC) -> str:
    """The processor's name, with its flags, since another one with the same name may lack int8 products."""
    text = (proc / "cpuinfo").read_text()
    return "\n".join(sorted(set(re.findall(r"^(?:model name|flags|Features)\s*:.*$", text, re.MULTILINE))))
