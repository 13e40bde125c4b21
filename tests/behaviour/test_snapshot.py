"""`vitrine snapshot` and the source of events: what is new becomes part of the next run, once, and an old commit gives the old run."""

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import edit_params, environment, make_workspace, run

SMALL_SHOP = {"market": {"num_listings": 80, "photo_px": 64, "num_requests": 2800, "bad_share": 0.0}}
EVENTS = "../events"


@pytest.fixture
def workspace(tmp_path):
    """A workspace with three days of events beside it, which are not its source yet."""
    folder = make_workspace(tmp_path / "workspace", SMALL_SHOP)
    run(folder, "vitrine", "simulate", EVENTS, "--from", "2026-01-01", "--days", "3")
    return folder


def vitrine(workspace, *arguments):
    """What it prints."""
    return run(workspace, "vitrine", *arguments).stdout


def refused(workspace, *arguments):
    """What it says; it must end with 1 and change nothing."""
    before = {path: path.read_bytes() for path in (workspace / "params.yaml", workspace / "data/snapshot.json")}
    done = run(workspace, "vitrine", *arguments, check=False)
    assert done.returncode == 1, done.stdout
    assert before == {path: path.read_bytes() for path in before}
    return done.stderr


def taken(workspace):
    return json.loads((workspace / "data/snapshot.json").read_text())


def git(workspace, *arguments):
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments]
    return subprocess.run(command, cwd=workspace, env=environment(), text=True, check=True, capture_output=True).stdout


def lock(workspace):
    """The digest of each out, as dvc.lock has them."""
    stages = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def commit(workspace, message):
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", message)
    return git(workspace, "rev-parse", "HEAD").strip()


@pytest.mark.proof
def test_new_data_changes_the_next_run_and_an_old_commit_still_gives_the_old_one(workspace, tmp_path):
    run(workspace, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    vitrine(workspace, "source", "events", EVENTS)
    run(workspace, "dvc", "repro", "pairs")
    old, first = lock(workspace), commit(workspace, "first run")
    run(workspace, "dvc", "push")
    days = {row["ts"].date().day for row in impressions(workspace)}
    assert days == {1, 2, 3}

    vitrine(workspace, "simulate", EVENTS, "--days", "2")
    assert "8 files added" in vitrine(workspace, "snapshot")
    run(workspace, "dvc", "repro", "pairs")
    rows = impressions(workspace)
    assert {row["ts"].date().day for row in rows} == {1, 2, 3, 4, 5}
    assert len({(row["request_id"], row["position"]) for row in rows}) == len(rows)
    assert lock(workspace)["data/impressions"] != old["data/impressions"]
    commit(workspace, "second run")

    clone = tmp_path / "clone"
    git(workspace, "clone", "-q", str(workspace), str(clone))
    git(clone, "checkout", "-q", first)
    said = run(clone, "dvc", "repro", "--pull", "pairs").stdout
    assert "Running stage" not in said
    assert lock(clone) == old
    assert bytes_of(clone / "data/pairs")
    assert {row["ts"].date().day for row in impressions(clone)} == {1, 2, 3}

    run(clone, "dvc", "repro", "--force", "--single-item", "ingest")
    assert lock(clone) == old, "made again from the events that are there now, the old snapshot gives the old tables"


def impressions(workspace):
    return [row for path in sorted((workspace / "data/impressions").iterdir()) for row in pq.read_table(path).to_pylist()]


def test_a_snapshot_of_nothing_new_writes_nothing(workspace):
    vitrine(workspace, "source", "events", EVENTS)
    before = (workspace / "data/snapshot.json").stat().st_mtime_ns
    assert vitrine(workspace, "snapshot").startswith("nothing is new in the events in ../events (12 files")
    assert (workspace / "data/snapshot.json").stat().st_mtime_ns == before


def test_a_snapshot_names_what_was_added_changed_and_gone(workspace):
    vitrine(workspace, "source", "events", EVENTS)
    vitrine(workspace, "simulate", EVENTS)
    folder = workspace / EVENTS
    (folder / "clicks/dt=2026-01-01/part-00000.parquet").unlink()
    shutil.copy(folder / "images/dt=2026-01-03/part-00000.parquet", folder / "images/dt=2026-01-01/part-00000.parquet")
    done = run(workspace, "vitrine", "snapshot")
    assert "4 files added" in done.stdout
    assert "1 files gone" in done.stdout
    assert "clicks/dt=2026-01-01/part-00000.parquet" in done.stdout
    assert "1 files have other bytes than when they were pinned" in done.stderr
    assert "images/dt=2026-01-01/part-00000.parquet" in done.stderr


def test_as_of_takes_the_rows_until_then_and_the_next_snapshot_the_others(workspace):
    vitrine(workspace, "source", "events", EVENTS)
    vitrine(workspace, "snapshot", "--as-of", "2026-01-02T12:00:00Z")
    assert taken(workspace)["as_of"] == "2026-01-02T12:00:00Z"
    run(workspace, "vitrine", "run", "ingest")
    report = json.loads((workspace / "reports/ingest.json").read_text())
    assert max(row["ts"].isoformat() for row in impressions(workspace)) <= "2026-01-02T12:00:00+00:00"
    assert report["accounts"]["impressions"]["held_back"] > 0
    assert "as of 2026-01-03T" in vitrine(workspace, "snapshot")
    run(workspace, "vitrine", "run", "ingest")
    assert json.loads((workspace / "reports/ingest.json").read_text())["accounts"]["impressions"]["held_back"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--as-of", "soon"), "--as-of 'soon' is no time: write 2026-01-31"),
        (("--as-of", "2999-01-01"), "has not come yet"),
        (("--stable", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_nothing_is_written(workspace, arguments, said):
    vitrine(workspace, "source", "events", EVENTS)
    assert said in refused(workspace, "snapshot", *arguments)


def test_as_of_is_refused_for_sources_without_a_past(workspace):
    assert "--as-of is for a source of events" in refused(workspace, "snapshot", "--as-of", "2025-12-01")


def test_events_that_are_not_there_are_refused(workspace):
    assert "the source folder ../nowhere does not exist" in refused(workspace, "source", "events", "../nowhere")


def test_the_commit_holds_the_snapshot_and_nothing_else(workspace):
    vitrine(workspace, "source", "events", EVENTS)
    (workspace / "notes.txt").write_text("mine")
    (workspace / "Makefile").write_text("mine")
    git(workspace, "config", "user.name", "test")
    git(workspace, "config", "user.email", "test@example.org")
    git(workspace, "add", "Makefile")
    vitrine(workspace, "snapshot", "--commit")
    assert set(git(workspace, "show", "--name-only", "--format=").split()) <= {"data/snapshot.json", "data/history.json", "params.yaml"}
    assert "params.yaml" in git(workspace, "show", "--name-only", "--format=").split()
    assert git(workspace, "status", "--porcelain").splitlines() == ["M  Makefile", "?? notes.txt"]
    head = git(workspace, "rev-parse", "HEAD")
    vitrine(workspace, "snapshot", "--commit")
    assert git(workspace, "rev-parse", "HEAD") == head


def test_changed_params_are_not_swept_into_the_commit(workspace):
    vitrine(workspace, "source", "events", EVENTS)
    edit_params(workspace, {"split": {"seed": 5}})
    before = git(workspace, "rev-parse", "HEAD")
    assert "params.yaml has changes of yours" in refused(workspace, "snapshot", "--commit")
    assert git(workspace, "rev-parse", "HEAD") == before


def test_the_stable_release_stays_until_another_is_named(workspace):
    path = workspace / "data/snapshot.json"
    path.write_text(json.dumps(taken(workspace) | {"stable_release": "f" * 64}))
    vitrine(workspace, "source", "events", EVENTS)
    assert taken(workspace)["stable_release"] == "f" * 64
    vitrine(workspace, "snapshot")
    assert taken(workspace)["stable_release"] == "f" * 64


def test_a_folder_and_the_market_are_taken_again_too(workspace, tmp_path):
    assert vitrine(workspace, "snapshot").startswith("nothing is new in the simulated market")
    from tests.data.test_ingest import photo, row, write_folder

    write_folder(tmp_path / "photos", [row(0), row(1)], {"0.jpg": photo(0), "1.jpg": photo(1)})
    vitrine(workspace, "source", "folder", "../photos")
    write_folder(tmp_path / "photos", [row(0), row(1), row(2, created_at="2999-01-01")], {"2.jpg": photo(2)})
    said = vitrine(workspace, "snapshot")
    assert "listings.csv has other bytes" in said
    assert "pictures: 3 of" in said
    assert taken(workspace)["as_of"] == "2025-11-05T00:00:00Z", "a date that has not come is not the newest"


def test_the_shops_days_are_the_same_in_one_step_or_several(workspace, tmp_path):
    run(workspace, "vitrine", "simulate", "../whole", "--days", "5")
    run(workspace, "vitrine", "simulate", EVENTS, "--days", "2")
    run(workspace, "vitrine", "simulate", EVENTS, "--from", "2026-01-02", "--days", "2")
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "events")
    gap = refused(workspace, "simulate", EVENTS, "--from", "2026-01-08")
    assert "--from must lie between 2026-01-01 and 2026-01-06, not 2026-01-08" in gap
    assert "is no day" in refused(workspace, "simulate", EVENTS, "--from", "today")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
