"""The README tells the truth: its commands run, its files are there, its picture shows the DAG."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import PROJECT, run
from tests.contract.test_dag import STAGES

README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]
EVENTS = [
    "vitrine simulate ../events --days 30",
    "vitrine source events ../events",
    "vitrine snapshot --stable bundle",
    "vitrine validate --explain",
]
ELSEWHERE = {
    "make demo": "test_line.by_flow, tests.release.test_show and tests.flows.test_drift_rehearsal",
    "make demo DATA=path/to/folder": "test_line.test_real_photos_go_through_the_whole_line",
    "make test": ".ci/run",
    "vitrine serve --port 8080": "tests.serve.test_serve_command",
    "vitrine release start": "tests.flows.test_release",
    "vitrine explain 3f9a1c": "tests.release.test_explain",
    "vitrine drift rehearse seller_flood": "tests.flows.test_drift_rehearsal",
    ". .venv/bin/activate": "tests.conftest.environment",
    **dict.fromkeys(EVENTS, "test_the_walk_through_events_runs_in_its_order"),
}


@pytest.fixture(scope="module")
def workspace(finished, tmp_path_factory):
    """A copy of the finished workspace with its lock committed, as a reader's after the demo."""
    copy = Path(shutil.copytree(finished, tmp_path_factory.mktemp("readme") / "copy", symlinks=True))
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(copy, *git, "add", "dvc.lock")
    run(copy, *git, "commit", "-q", "-m", "a run")
    return copy


def as_param(command):
    """The command; one that trains takes a minute."""
    return pytest.param(command, marks=[pytest.mark.proof] if command.startswith("dvc exp run") else [])


@pytest.mark.parametrize("command", [as_param(command) for command in COMMANDS if command not in ELSEWHERE])
def test_the_command_runs(workspace, command):
    run(workspace, *shlex.split(command))


@pytest.mark.proof
def test_the_walk_through_events_runs_in_its_order(finished, tmp_path):
    copy = Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))
    for command in EVENTS:
        run(copy, *shlex.split(command))
    taken = json.loads((copy / "data" / "snapshot.json").read_text())
    assert (copy / "releases" / taken["stable_release"] / "manifest.json").exists()
    assert taken["source"]["kind"] == "events"


def test_every_other_command_is_still_in_the_readme():
    assert set(ELSEWHERE) <= set(COMMANDS)


def test_links_and_pictures_lead_somewhere():
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in t]
    assert targets
    assert [t for t in targets if not (PROJECT / t).exists()] == []


def test_the_picture_shows_every_stage():
    picture = (PROJECT / "docs" / "dag.svg").read_text()
    assert re.findall(r'font-weight="bold"[^>]*>(\w+)<', picture) == STAGES


@pytest.mark.parametrize("path", sorted(PROJECT.glob("docs/*.png")), ids=lambda p: p.name)
def test_pictures_stay_small(path):
    assert path.stat().st_size <= 300 * 1024
