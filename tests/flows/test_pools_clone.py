"""One stage in a fresh clone, with the real DVC and a real S3 server and without Prefect."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml

from components.errors import BadWorkspace, GitFailed
from components.objects import open_store
from flows.dag import read_dag
from flows.pools import repository, transfer
from flows.pools.clone import clone
from flows.pools.entries import entry_of, parsed
from flows.pools.stage_run import take_over
from flows.stage import StageFailed
from tests.flows.pool_house import GIT
from tests.flows.pool_shop import write_params
from tests.flows.test_pools_beat import CFG

META = {"pool": "cpu", "gpu": 0, "retries": 0, "timeout_s": 60}
STAGES = {
    "upper": {"cmd": "tr a-z A-Z < seed.txt > upper.txt", "deps": ["seed.txt"], "outs": ["upper.txt"], "meta": META},
    "count": {"cmd": "wc -c < upper.txt > count.txt", "deps": ["upper.txt"], "outs": ["count.txt"], "meta": META},
}
PREFIX = "clones"
PATIENT = CFG.model_copy(update={"transfer_s": 120})


@pytest.fixture(scope="module")
def template(lone_environment, s3, tmp_path_factory):
    """A workspace of two stages, both done and pushed, committed with their lock; and the environment it was made in."""
    folder = tmp_path_factory.mktemp("clones") / "origin"
    folder.mkdir()
    settings = {**lone_environment, **s3.environment, "GIT_CONFIG_GLOBAL": os.devnull}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in settings.items():
            patch.setenv(key, value)
        patch.chdir(folder)
        write_params(folder, {})
        (folder / "seed.txt").write_text("abc")
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
        git("init", "-q")
        dvc("init", "-q")
        dvc("remote", "add", "-q", "--default", "s", f"{s3.url}/{PREFIX}")
        dvc("repro", "-q")
        dvc("push", "-q", "--run-cache")
        commit("done")
    return folder, settings


@pytest.fixture
def origin(template, tmp_path, monkeypatch):
    """A copy of the workspace; this process stands in it."""
    folder, settings = template
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(shutil.copytree(folder, tmp_path / "origin"))
    return tmp_path / "origin"


def git(*arguments):
    return subprocess.run([*GIT, *arguments], check=True, text=True, capture_output=True).stdout.strip()


def dvc(*arguments):
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, text=True, capture_output=True).stdout


def commit(message):
    git("add", "-A")
    git("commit", "-q", "-m", message)


def stage_named(name):
    return next(stage for stage in read_dag() if stage.name == name)


def in_clone(origin, tmp_path, monkeypatch):
    """A fresh clone, in which this process stands from now on."""
    folder = tmp_path / f"clone-{uuid.uuid4().hex[:6]}"
    git("clone", "-q", str(origin), str(folder))
    monkeypatch.chdir(folder)
    return folder


def other_upper(origin, seed):
    """The entry of `upper` once it was made from another seed, pushed but not committed; the seed is committed."""
    (origin / "seed.txt").write_text(seed)
    dvc("repro", "-q", "--single-item", "upper")
    dvc("push", "-q", "upper")
    entry = entry_of(parsed(Path("dvc.lock").read_text()), "upper")
    git("checkout", "-q", "dvc.lock")
    commit("another seed")
    return entry


def test_dvc_alone_takes_a_missing_input_for_an_unchanged_one_and_taking_over_mends_that(origin, tmp_path, monkeypatch):
    upper = other_upper(origin, "abcdef")
    in_clone(origin, tmp_path, monkeypatch)
    lock = parsed(Path("dvc.lock").read_text())
    Path("dvc.lock").write_text(yaml.safe_dump({**lock, "stages": {**lock["stages"], "upper": upper}}))
    assert transfer.reproduced(stage_named("count"), PATIENT, str).verdict == "unchanged", "the trap: its input has changed"
    assert Path("count.txt").read_text().strip() == "3"

    in_clone(origin, tmp_path, monkeypatch)
    take_over("count", {"upper": upper})
    assert transfer.reproduced(stage_named("count"), PATIENT, str).verdict == "ran"
    assert Path("count.txt").read_text().strip() == "6"
    transfer.push("count", PATIENT, str)

    in_clone(origin, tmp_path, monkeypatch)
    take_over("count", {"upper": upper})
    assert transfer.reproduced(stage_named("count"), PATIENT, str).verdict == "restored"
    assert Path("count.txt").read_text().strip() == "6"


def test_a_stage_whose_upstream_is_what_it_was_is_unchanged_and_a_frozen_one_stays_whatever_it_is(origin, tmp_path, monkeypatch):
    same = entry_of(parsed(Path("dvc.lock").read_text()), "upper")
    in_clone(origin, tmp_path, monkeypatch)
    take_over("count", {"upper": same})
    assert transfer.reproduced(stage_named("count"), PATIENT, str).verdict == "unchanged"
    monkeypatch.chdir(origin)
    upper = other_upper(origin, "abcdefgh")
    dvc("freeze", "count")
    commit("frozen")
    in_clone(origin, tmp_path, monkeypatch)
    take_over("count", {"upper": upper})
    assert transfer.reproduced(stage_named("count"), PATIENT, str).verdict == "frozen"
    assert Path("count.txt").read_text().strip() == "3"


def test_of_the_remotes_run_cache_a_stage_asks_for_its_own_part_alone(origin, s3, tmp_path, monkeypatch):
    store = open_store(f"{s3.url}/{PREFIX}")
    for _ in range(20):
        key = uuid.uuid4().hex * 2
        store.put(f"runs/{key[:2]}/{key}/{key}", b"cmd: of another time\n")
    git("rm", "-q", "dvc.lock")
    commit("without a lock")
    folder = in_clone(origin, tmp_path, monkeypatch)
    assert transfer.reproduced(stage_named("upper"), PATIENT, str).verdict == "restored"
    assert len([path for path in (folder / ".dvc" / "cache" / "runs").rglob("*") if path.is_file()]) == 1


def test_inputs_that_cannot_be_had_are_asked_for_again_and_a_stage_that_fails_is_not(origin, tmp_path, monkeypatch):
    said = []
    in_clone(origin, tmp_path, monkeypatch)
    upper = entry_of(parsed(Path("dvc.lock").read_text()), "upper")
    gone = {**upper, "outs": [{**upper["outs"][0], "md5": "0" * 32}]}
    take_over("count", {"upper": gone})
    with pytest.raises(StageFailed):
        transfer.reproduced(stage_named("count"), PATIENT, said.append)
    assert len([line for line in said if "its inputs could not be had" in line]) == PATIENT.transfer_tries - 1
    said.clear()
    drawn = {**STAGES, "upper": {**STAGES["upper"], "cmd": "exit 3"}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": drawn}, sort_keys=False))
    with pytest.raises(StageFailed, match="upper failed"):
        transfer.reproduced(stage_named("upper"), PATIENT, said.append)
    assert not [line for line in said if "could not be had" in line]


def test_the_pull_step_clones_what_the_environment_names_and_shows_no_credentials(origin, tmp_path, monkeypatch):
    first = git("rev-parse", "HEAD")
    (origin / "seed.txt").write_text("newer")
    commit("newer")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRINE_REPOSITORY", str(origin))
    newest = Path(clone()["directory"])
    assert (newest / "seed.txt").read_text() == "newer"
    monkeypatch.setenv("VITRINE_COMMIT", first)
    earlier = Path(clone()["directory"])
    assert (earlier / "seed.txt").read_text() == "abc"
    assert newest.parent == earlier.parent == tmp_path
    monkeypatch.chdir(earlier)
    assert repository.head() == first

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRINE_COMMIT", "0" * 40)
    with pytest.raises(GitFailed, match="git checkout"):
        clone()
    monkeypatch.setenv("VITRINE_REPOSITORY", "http://bot:planted-7f3a@127.0.0.1:9/shop.git")
    with pytest.raises(GitFailed, match=r"127\.0\.0\.1:9") as failed:
        clone()
    assert "planted" not in str(failed.value)
    monkeypatch.delenv("VITRINE_REPOSITORY")
    with pytest.raises(BadWorkspace, match="VITRINE_REPOSITORY is not set"):
        clone()


def test_what_dvc_brings_into_a_clone_lies_on_the_disk_once_and_nobody_can_change_it_by_accident(origin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRINE_REPOSITORY", str(origin))
    monkeypatch.chdir(clone()["directory"])
    dvc("pull", "-q")
    about = Path("upper.txt").stat()
    assert (about.st_nlink, about.st_mode & 0o777) == (2, 0o444), "in DVC's cache and in the clone"
    (Path.cwd() / "seed.txt").write_text("another")
    dvc("repro", "-q")
    assert Path("upper.txt").read_text() == "ANOTHER", "a stage whose out is linked writes another file"
    assert git("status", "--porcelain").splitlines() == ["M dvc.lock", " M seed.txt"], "and Git knows nothing of how it is kept"


def test_two_who_push_a_snapshot_both_come_through_and_one_that_does_not_fit_is_told(origin, tmp_path, monkeypatch):
    from components.errors import Conflict

    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(origin), str(bare))
    ours, theirs = (in_clone(bare, tmp_path, monkeypatch) for _ in range(2))
    commit_file(theirs, "notes.txt", "theirs", monkeypatch)
    repository.push_branch()
    commit_file(ours, "seed.txt", "ours", monkeypatch)
    repository.push_branch()
    assert git("log", "--format=%s", "-2", "origin/HEAD").split() == ["seed.txt", "notes.txt"]
    commit_file(theirs, "seed.txt", "theirs", monkeypatch)
    with pytest.raises(Conflict, match="has changed what this snapshot's commit changes too"):
        repository.push_branch()
    assert git("status", "--porcelain") == "", "nothing is left half done"


def commit_file(folder, name, text, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / name).write_text(text)
    commit(name)
    for key in ("AUTHOR", "COMMITTER"):  # a rebase writes commits too
        monkeypatch.setenv(f"GIT_{key}_NAME", "test")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "test@example.org")


def test_an_out_that_a_clone_lacks_comes_from_the_remote_and_nothing_else_does(origin, tmp_path, monkeypatch):
    in_clone(origin, tmp_path, monkeypatch)
    said = []
    assert transfer.brought(Path("count.txt"), PATIENT, said.append).read_text().strip() == "3"
    assert said[0] == "count.txt is not in this clone and comes from the remote"
    assert not Path("upper.txt").exists()

    said.clear()
    Path("count.txt").write_text("somebody's own")
    assert transfer.brought(Path("count.txt"), PATIENT, said.append).read_text() == "somebody's own"
    assert not transfer.brought(Path("no-out"), PATIENT, said.append).exists()
    assert said == []
