"""A small sample of `python -m tests.chaos`: the real stages, killed at moments that a seed decides."""

import shutil
from pathlib import Path

import pytest

from flows.server import SETTINGS
from tests.chaos.outs import Reference
from tests.chaos.plan import TARGETS, plan
from tests.chaos.series import Series, Times, environment_for
from tests.chaos.summary import markdown, went_well

STAGES = ["embed", "index", "reference"]
TIMES = dict.fromkeys(STAGES, Times(dvc_s=1.2, stage_s=0.9, before_s=0.4))  # what two idle cores need; less is found out on the way


@pytest.mark.proof
def test_killed_at_random_moments_the_line_leaves_no_orphan_and_no_half_written_out_and_ends_the_same(finished, server, tmp_path):
    workspace = Path(shutil.copytree(finished, tmp_path / "killed", symlinks=True))
    environment = environment_for(tmp_path, server) | SETTINGS
    series = Series(workspace, Reference.of(finished), TIMES, environment, say=lambda line: None)
    kills = plan(STAGES, num_kills=3, seed=11)
    assert {kill.target for kill in kills} == set(TARGETS)
    series.run(kills)  # which compares the digests at its end
    assert [(one.kill.stage, one.kill.target) for one in series.struck] == [(kill.stage, kill.target) for kill in kills]
    assert went_well(series, failure=""), markdown(series, STAGES, 11, 0.0, "")
