"""How `vitrine run` leaves a workspace: whole outs, nothing unfinished, and a word about what the machine lacked."""

import contextlib
import errno
import json
import resource
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from components import contract, stage_log
from components.contract import Contract, Summary, run, when_placed
from components.errors import DiskFull, OutOfMemory, StageBusy
from components.process import alone

UNFINISHED = Path(".vitrine/tmp/toy")
MADE = Path("data/made")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Puts a function of the folder `made` in the place of a stage, in a workspace of its own."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("paths: {made: data/made}\ncache: {url: .vitrine/cache, max_gib: 1.0}\ntoy: {batch_size: 8}\n")
    monkeypatch.setattr(contract, "die_with_parent", lambda: None)

    def put(function):
        monkeypatch.setattr(contract, "contract_of", lambda name: Contract(name, function, (), ("made",), {}, ()))

    return put


def write(made: Path, text: str = "new") -> Summary:
    made.mkdir()
    (made / "rows").write_text(text)
    return Summary(rows_in=1, rows_out=1)


def failing(error):
    def fail(made):
        write(made, "half")
        raise error

    return fail


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "told"),
    [(FULL, DiskFull), (MemoryError(), OutOfMemory), (ValueError("own"), ValueError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_stage_that_fails_leaves_its_outs_as_they_were_and_nothing_unfinished(toy, error, told):
    toy(write)
    run("toy")
    toy(failing(error))
    with pytest.raises(told):
        run("toy")
    assert (MADE / "rows").read_text() == "new"
    assert not UNFINISHED.exists()


def test_a_full_disk_names_the_file_that_came_last(toy):
    toy(failing(FULL))
    with pytest.raises(DiskFull, match=r"^toy: the disk is full\. It was writing \.vitrine/tmp/toy/made/rows, "):
        run("toy")


def test_an_out_that_is_a_folder_is_replaced_whole(toy):
    toy(lambda made: write(made, "old"))
    run("toy")
    (MADE / "of before").write_text("")
    toy(write)
    run("toy")
    assert [(path.name, path.read_text()) for path in MADE.iterdir()] == [("rows", "new")]


def test_what_a_killed_run_had_begun_is_not_taken_for_an_out(toy):
    UNFINISHED.joinpath("made").mkdir(parents=True)
    UNFINISHED.joinpath("made", "half").write_text("")
    toy(write)
    run("toy")
    assert [path.name for path in MADE.iterdir()] == ["rows"]


def test_another_runs_unfinished_outs_are_left_alone(toy):
    UNFINISHED.mkdir(parents=True)
    toy(write)
    with alone("toy", Path(".vitrine/locks")), pytest.raises(StageBusy):
        run("toy")
    assert UNFINISHED.exists()


def test_what_a_killed_run_needs_to_go_on_is_let_go_only_when_the_outs_are_in_place(toy):
    seen = []

    def stage(made):
        when_placed(lambda: seen.append((MADE / "rows").read_text()))
        return write(made)

    toy(stage)
    run("toy")
    toy(write)
    run("toy")
    assert seen == ["new"]


@contextmanager
def files_ending_at(num_bytes):
    """The kernel refuses to make any file longer than so many bytes, so that a write ends half way."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_line_of_the_log_is_written_whole_or_not_at_all(toy):
    toy(write)
    run("toy")
    log = Path("runs/stages.jsonl")
    before = log.read_text()
    with files_ending_at(len(before) + 10), pytest.raises(OSError, match="File too large"):
        run("toy")
    assert log.read_text() == before
    assert json.loads(before)["stage"] == "toy"


def test_a_stage_waits_for_another_run_of_itself(toy):
    toy(write)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with alone("toy", Path(".vitrine/locks")):
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    threading.Timer(0.5, release.set).start()
    assert run("toy", wait_s=30).rows_out == 1
    assert release.is_set()
    holder.join()


@pytest.mark.parametrize("is_failing", [False, True])
def test_what_a_stage_notes_stands_in_its_row_of_the_log_also_where_it_fails(toy, is_failing):
    def paying(made: Path) -> Summary:
        stage_log.note("asked", {"num_calls": 3})
        return failing(ValueError("own"))(made) if is_failing else write(made)

    stage_log.note("asked", {"num_calls": 99})  # of whatever ran before
    toy(paying)
    with contextlib.suppress(ValueError):
        run("toy")
    (row,) = stage_log.rows()
    assert row["asked"] == {"num_calls": 3}
    assert row.get("failed", False) == is_failing
    toy(write)
    run("toy")
    assert "asked" not in stage_log.rows()[-1]
