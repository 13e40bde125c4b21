"""What is read of the kernel's accounts, from copies of its files."""

import pytest

from flows.memory import kernel_kills, limit_mib

MEMINFO = "MemTotal:        8388608 kB\nMemFree:  1 kB\n"


@pytest.fixture
def machine(tmp_path):
    """Writes files below a stand-in for /proc and /sys/fs/cgroup."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "proc", tmp_path / "cgroup"

    return write


def test_version_2_counts_the_kills_of_our_own_group(machine):
    where = machine(
        proc__self__cgroup="0::/jobs/7\n",
        proc__vmstat="oom_kill 9\n",
        cgroup__jobs__7__memory_dot_events="oom 3\noom_kill 2\noom_group_kill 0\n",
    )
    assert kernel_kills(*where) == 2


def test_version_1_counts_them_too_also_where_a_container_sees_its_group_as_the_root(machine):
    where = machine(proc__self__cgroup="9:memory:/host/path\n0::/\n", cgroup__memory__memory_dot_oom_control="under_oom 0\noom_kill 4\n")
    assert kernel_kills(*where) == 4


def test_without_a_counter_of_our_group_the_machines_is_read_and_without_any_nothing_is_claimed(machine):
    where = machine(proc__self__cgroup="0::/\n", proc__vmstat="pgfault 1\noom_kill 5\n")
    assert kernel_kills(*where) == 5
    (where[0] / "vmstat").unlink()
    assert kernel_kills(*where) is None


@pytest.mark.parametrize(
    ("own", "around", "expected"), [("max\n", "max\n", 8192), ("1073741824\n", "max\n", 1024), ("max\n", "2147483648\n", 2048)]
)
def test_the_limit_is_the_tightest_of_machine_and_groups(machine, own, around, expected):
    files = {"cgroup__jobs__7__memory_dot_max": own, "cgroup__jobs__memory_dot_max": around}
    assert limit_mib(*machine(proc__meminfo=MEMINFO, proc__self__cgroup="0::/jobs/7\n", **files)) == expected


def test_the_real_files_of_this_machine_are_read():
    assert limit_mib() > 100
    assert kernel_kills() is None or kernel_kills() >= 0
