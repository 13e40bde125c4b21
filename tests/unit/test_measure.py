import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.inference.measure import Setting, Timing, best, measured, remembered, settings, table
from components.serve.inference.room import MIB, limit_bytes, processor, taken_bytes


class Machine:
    """Runs rows on a clock of its own: `row_s` by threads, with a fixed cost a batch, and memory that grows with the widest batch."""

    def __init__(self, row_s, batch_s=0.0, row_bytes=0, memory=10**12):
        self.now, self.row_s, self.batch_s, self.row_bytes, self.free = 0.0, row_s, batch_s, row_bytes, memory
        self.opened, self.widest, self.memory = [], 0, memory

    def open(self, threads):
        self.opened.append(threads)

        def work(rows):
            self.now += self.batch_s + rows * self.row_s[threads]
            self.widest = max(self.widest, rows)

        return work

    def room(self):
        return self.memory - self.widest * self.row_bytes

    def measure(self, choices, budget_s=4.0):
        return measured(self.open, choices, budget_s=budget_s, room=self.room, clock=lambda: self.now)


@pytest.mark.parametrize("cores", [1, 2, 3, 6, 64])
def test_threads_of_all_runs_together_never_pass_the_cores_and_all_cores_are_tried(cores):
    found = settings(cores, 8)
    assert all(1 <= s.threads * s.at_once <= cores for s in found)
    assert {s.rows for s in found} == {1, 2, 4, 8}
    assert found[0] == Setting(cores, 1, 1)


def test_rows_stay_within_what_may_be():
    assert {s.rows for s in settings(2, 1)} == {1}
    assert {s.rows for s in settings(2, 6)} == {1, 2, 4}


def timing(threads, rows, pictures_per_s):
    return Timing(Setting(threads, rows, 2 // threads), pictures_per_s)


def test_the_setting_with_most_pictures_a_second_wins():
    assert best([timing(2, 1, 10), timing(2, 8, 20), timing(1, 8, 15)]) == Setting(2, 8, 1)
    assert best([timing(2, 1, 10), timing(2, 8, 20), timing(1, 8, 30)]) == Setting(1, 8, 2)


def test_where_nothing_is_gained_a_single_picture_is_answered_soonest():
    assert best([timing(2, 1, 29.0), timing(2, 8, 30.0), timing(1, 1, 30.0)]) == Setting(2, 1, 1)


def test_every_setting_is_timed_where_there_is_time():
    machine = Machine({1: 0.002, 2: 0.001}, batch_s=0.004)
    found = {t.setting: t.pictures_per_s for t in machine.measure(settings(2, 4))}
    assert found[Setting(2, 1, 1)] == pytest.approx(1 / 0.005)
    assert found[Setting(2, 4, 1)] == pytest.approx(4 / 0.008)
    assert set(found) == set(settings(2, 4))
    assert machine.opened == [2, 1], "a model is opened once for each number of threads"


@given(st.floats(0.001, 30.0), st.floats(0.1, 5.0))
def test_measuring_keeps_to_its_time_but_for_one_setting(row_s, budget_s):
    machine = Machine({1: row_s, 2: row_s})
    found = machine.measure(settings(2, 8), budget_s)
    assert found
    assert machine.now <= budget_s + 2 * row_s + 0.5


def test_rows_that_would_not_fit_into_memory_are_not_tried():
    machine = Machine({1: 0.001, 2: 0.001}, row_bytes=100, memory=350)
    assert {t.setting.rows for t in machine.measure([Setting(2, rows, 1) for rows in (1, 2, 4, 8)])} == {1, 2}


def test_what_was_measured_is_remembered_for_the_same_model_on_the_same_machine(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return [timing(2, 8, 20.0), timing(1, 8, 15.5)]

    first = remembered(tmp_path / "inference", ("graph", 2), measure)
    assert remembered(tmp_path / "inference", ("graph", 2), measure) == first
    assert len(calls) == 1
    remembered(tmp_path / "inference", ("graph", 4), measure)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", "7", '[{"setting": {}}]', '[{"pictures_per_s": 1}]', '[{"setting": 3, "pictures_per_s": 1}]']
)
def test_what_cannot_be_read_is_measured_again(tmp_path, kept):
    remembered(tmp_path, ("graph",), lambda: [timing(2, 8, 20.0)])
    (file,) = tmp_path.iterdir()
    file.write_text(kept)
    assert remembered(tmp_path, ("graph",), lambda: [timing(1, 1, 5.0)]) == [timing(1, 1, 5.0)]
    assert remembered(tmp_path, ("graph",), lambda: []) == [timing(1, 1, 5.0)]


def test_the_table_is_one_line():
    assert (
        table([timing(2, 1, 10.04), timing(2, 8, 20.0), timing(1, 8, 15.0)]) == "2 threads, rows 1: 10.0, 8: 20.0; 1 threads, rows 8: 15.0"
    )


def test_memory_is_the_tighter_of_machine_and_control_group(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:       10240 kB\nMemFree: 1 kB\n")
    groups = tmp_path / "cgroup"
    groups.mkdir()
    assert limit_bytes(0, tmp_path, groups) == 8 * MIB
    (groups / "memory.max").write_text("max\n")
    assert limit_bytes(0, tmp_path, groups) == 8 * MIB
    (groups / "memory.max").write_text(f"{5 * MIB}\n")
    assert limit_bytes(0, tmp_path, groups) == 4 * MIB
    assert limit_bytes(300, tmp_path, groups) == 300 * MIB


def test_this_process_has_memory_and_a_processor():
    assert 10 * MIB < taken_bytes() < limit_bytes(0)
    assert processor()
