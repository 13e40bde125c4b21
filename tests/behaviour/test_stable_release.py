"""A retrain beside a release that is live: compared with it, and on its scale."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.calibrator import Calibrator
from components.releases import keep
from tests.conftest import edit_params, run
from tests.release_bundle import name_stable

pytestmark = pytest.mark.proof  # a second training


@pytest.fixture(scope="module")
def retrained(finished, tmp_path_factory):
    """A copy of the finished workspace, trained again from other seeds with its own bundle as the stable release, and that digest."""
    workspace = Path(shutil.copytree(finished, tmp_path_factory.mktemp("retrained") / "copy", symlinks=True))
    digest = keep(workspace / "bundle", workspace / "releases")
    name_stable(workspace / "data" / "snapshot.json", digest)
    edit_params(workspace, {"finetune": {"train": {"seed": 1}}, "score": {"seed": 1}})
    run(workspace, "dvc", "repro")
    return workspace, digest


def report(workspace, stage):
    return json.loads((workspace / "reports" / f"{stage}.json").read_text())


def test_the_candidate_is_compared_with_it_on_all_that_both_held_out(finished, retrained):
    workspace, digest = retrained
    found = report(workspace, "evaluate")
    assert found["stable"] == {
        "release": digest,
        "num_compared": found["rows_out"],
        "num_taught": 0,
        "num_unasked": 0,
        "golden_cosine": None,
    }
    encoder = found["encoder"]["all"]["category"]
    was = report(finished, "evaluate")["encoder"]["all"]["category"]["model"]
    assert encoder["stable"]["ndcg_at_5"]["value"] == pytest.approx(was["ndcg_at_5"]["value"], abs=1e-6)
    assert encoder["model"]["ndcg_at_5"]["value"] != was["ndcg_at_5"]["value"]
    opa = found["image_score"]["all"]["truth"]
    assert opa["stable"]["value"] == pytest.approx(report(finished, "evaluate")["image_score"]["all"]["truth"]["model"]["value"], abs=1e-6)
    assert any("model minus stable" in reason for reason in found["reasons"])


def test_the_new_bundle_says_what_it_was_compared_with(retrained):
    workspace, digest = retrained
    assert json.loads((workspace / "bundle" / "manifest.json").read_text())["metrics"]["stable_release"] == digest


def test_the_scale_is_the_stable_releases(finished, retrained):
    workspace, digest = retrained
    old, new = finished / "bundle", workspace / "bundle"
    assert (new / "anchors.parquet").read_bytes() == (old / "anchors.parquet").read_bytes()
    assert Calibrator.read(new / "calibrator.json") != Calibrator.read(old / "calibrator.json")
    found = report(workspace, "score")
    assert (found["scale_of"], found["num_anchors_left_out"]) == (digest, 0)
    assert found["num_anchors"] == pq.read_table(old / "anchors.parquet").num_rows


def test_nothing_is_embedded_for_the_comparison_that_the_release_answered_itself(retrained):
    workspace, _ = retrained
    rows = [json.loads(line) for line in (workspace / "runs" / "stages.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["stage"] == "evaluate"][-1]
    assert "evaluate-stable" not in last["cache"]["beside"]


def test_a_release_that_is_gone_stops_score_and_evaluate_with_what_to_do(retrained, tmp_path):
    workspace = Path(shutil.copytree(retrained[0], tmp_path / "copy", symlinks=True))
    shutil.rmtree(workspace / "releases")
    for stage in ("score", "evaluate"):
        done = run(workspace, "vitrine", "run", stage, check=False)
        assert done.returncode
        assert "vitrine snapshot --stable FOLDER" in done.stderr
