"""A disk that fills up under a stage, under DVC and under the flow: a clear word, no damage, and equal digests after room is made."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import DiskFull
from flows.dag import read_dag
from flows.stage import StageFailed, run_stage
from flows.workspace import make_ready, taken
from tests.chaos.outs import Finding, Reference, compare, digests, forget
from tests.conftest import environment, run
from tests.small_disk import small_disk


@pytest.fixture
def full_disk(tmp_path):
    """A disk of 48 MiB."""
    with small_disk(tmp_path / "disk", size_mib=48) as disk:
        yield disk


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch):
    """A finished workspace that a test may change."""
    folder = Path(shutil.copytree(finished, tmp_path / "workspace", symlinks=True))
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    return folder


@pytest.mark.parametrize(
    ("on_disk", "expected"),
    [
        (".", "the disk is full"),
        (".vitrine/cache", "DiskFull: embed: the disk is full. It was writing .vitrine/"),
        ("runs", "DiskFull: embed: the disk is full. It was writing runs/stages.jsonl"),
        (".dvc/cache", "embed failed after "),
        (".dvc/tmp", "embed failed after "),
    ],
)
def test_whichever_folder_is_on_a_full_disk_no_harm_is_done_and_the_stage_goes_on(workspace, finished, monkeypatch, on_disk, expected):
    """All of it, then finished work, the log of stages, DVC's copies and DVC's lock, each alone on a disk without room."""
    reference = Reference.of(finished)
    embed = next(stage for stage in read_dag(workspace / "dvc.yaml") if stage.name == "embed")
    with small_disk(workspace / on_disk, size_mib=48) as disk:
        shutil.copytree(finished / on_disk, disk.folder, dirs_exist_ok=True, symlinks=True)
        monkeypatch.chdir(workspace)
        forget(workspace, "embed")
        before = (workspace / "dvc.lock").read_bytes()
        Path("runs/stages.jsonl").unlink()
        disk.fill()
        with pytest.raises(StageFailed) as failed:
            run_stage(embed, log=lambda line: None)
        assert expected in str(failed.value)
        assert "the disk is full" in str(failed.value)
        assert f"0.0 of 50.3 MB are free on {disk.folder}." in str(failed.value)
        assert (workspace / "dvc.lock").read_bytes() == before
        assert compare(workspace, reference).half_written == ()
        assert list((workspace / ".vitrine" / "tmp").iterdir()) == []
        disk.free()
        make_ready()  # as the flow does: DVC may have cut its own lock short
        run_stage(embed, log=lambda line: None)
        assert digests(workspace) == reference.digests
        assert compare(workspace, reference) == Finding((), ())


def test_a_stage_on_a_full_disk_keeps_its_outs_of_before_and_frees_what_it_had_begun(workspace, finished):
    with small_disk(workspace, size_mib=48) as disk:
        shutil.copytree(finished, workspace, dirs_exist_ok=True, symlinks=True)
        disk.fill(leave_bytes=8192)
        done = run(workspace, "vitrine", "run", "embed", check=False)
        assert done.returncode == 1
        assert "DiskFull: embed: the disk is full. It was writing .vitrine/tmp/embed" in done.stderr
        assert "Traceback" not in done.stderr
        assert list((workspace / ".vitrine" / "tmp").iterdir()) == []
        assert compare(workspace, Reference.of(finished)) == Finding((), ())


def test_a_flow_on_a_full_disk_fails_with_a_clear_word_and_goes_on_after_room_is_made(shop, full_disk, unkilled_digests):
    on_disk = replace(shop, folder=Path(shutil.copytree(shop.folder, full_disk.folder / "shop")))
    full_disk.fill()
    status, output = on_disk.retrain()
    assert status == 1
    assert "the disk is full" in output
    assert f"MB are free on {full_disk.folder}." in output
    assert "Traceback" not in output
    full_disk.free()
    status, output = on_disk.retrain()
    assert status == 0, output
    assert on_disk.digests() == unkilled_digests


def test_a_flow_that_cannot_write_down_how_it_went_says_so(shop, full_disk):
    (shop.folder / "runs").symlink_to(full_disk.folder)
    (full_disk.folder / "retrain").mkdir()
    full_disk.fill()
    status, output = shop.retrain()
    assert status == 1
    assert "DiskFull: retrain: the disk is full. It was writing runs/retrain/" in output
    assert "Traceback" not in output
    full_disk.free()
    status, output = shop.retrain()
    assert status == 0, output
    assert "3 stages: 3 unchanged" in output


def test_a_workspace_in_which_not_even_a_lock_can_be_written_is_refused(lone_shop, full_disk, monkeypatch):
    monkeypatch.chdir(shutil.copytree(lone_shop.folder, full_disk.folder / "shop"))
    full_disk.fill()
    with pytest.raises(DiskFull, match="retrain: the disk is full"), taken():
        pass
    full_disk.free()
    with taken():
        pass
