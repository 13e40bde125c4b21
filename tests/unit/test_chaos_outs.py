"""What the chaos run would see: damage that is made on purpose, and a process that got away."""

import os
import subprocess
import sys
import time
import uuid

import pytest
import yaml

from tests.chaos.outs import Finding, Reference, compare, digests, forget, recorded
from tests.chaos.processes import MARK, await_gone, kill, marked


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "data" / "embeddings").mkdir(parents=True)
    (tmp_path / "reports").mkdir()
    for name in ("data/embeddings/shard-0", "data/embeddings/shard-1"):
        (tmp_path / name).write_text(name)
    (tmp_path / "reports" / "embed.json").write_text("{}")
    outs = [{"path": "data/embeddings", "md5": "1.dir"}, {"path": "reports/embed.json", "md5": "2"}]
    stages = {"embed": {"cmd": "x", "outs": outs}, "split": {"cmd": "y", "outs": []}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("data/embeddings/shard-1", "data/embed", Finding(("data/embeddings",), ())),
        ("data/embeddings/shard-2", "of nobody", Finding(("data/embeddings",), ())),
        ("reports/embed.json", "{", Finding(("reports/embed.json",), ())),
        ("data/embeddings/.x1.tmp", "DVC's own copy in the making", Finding((), ("data/embeddings",))),
    ],
)
def test_a_file_with_other_bytes_or_of_nobody_is_half_written(workspace, name, text, expected):
    reference = Reference.of(workspace)
    assert compare(workspace, reference) == Finding((), ())
    (workspace / name).write_text(text)
    assert compare(workspace, reference) == expected


def test_an_out_that_is_gone_is_no_damage_and_one_half_taken_away_is_told_apart(workspace):
    reference = Reference.of(workspace)
    (workspace / "reports" / "embed.json").unlink()
    assert compare(workspace, reference) == Finding((), ())
    (workspace / "data" / "embeddings" / "shard-0").unlink()
    assert compare(workspace, reference) == Finding((), ("data/embeddings",))


def test_a_forgotten_stage_is_no_longer_recorded_and_others_are(workspace):
    assert digests(workspace) == {"data/embeddings": "1.dir", "reports/embed.json": "2"}
    forget(workspace, "embed")
    assert (recorded(workspace, "embed"), recorded(workspace, "split")) == (False, True)
    (workspace / "dvc.lock").write_text("schema: '2.0'\nstages:\n  spl")
    assert not recorded(workspace, "split")


def test_a_process_that_left_its_group_and_lost_its_parent_is_still_found_and_named():
    mark = uuid.uuid4().hex
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, MARK: mark}, check=True)
    [orphan] = await_gone(mark, limit_s=0.3)
    assert orphan.command.endswith("time.sleep(60)")
    assert kill(orphan)
    started = time.monotonic()
    assert await_gone(mark, limit_s=5.0) == []
    assert time.monotonic() - started < 2
    assert marked(mark) == []
