"""The whole line on a small market, through DVC and through the flow."""

import csv
import json
import shutil
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from components.bundle import Bundle
from components.errors import BadBundle
from components.manifest import folder_digest, verified_manifest
from components.shards import read_shards
from tests.conftest import edit_params, environment, make, make_workspace, run
from tests.contract.test_dag import STAGES


def lock(workspace: Path) -> dict:
    """What DVC recorded of each stage, less the code and params, which say what was asked and not what came out."""
    stages = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    return {name: {out["path"]: out["md5"] for out in stage["outs"]} for name, stage in stages.items()}


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished workspace that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


@pytest.fixture(scope="module")
def by_flow(tmp_path_factory):
    """Another clone, in which `make demo` did what `dvc repro` did in the first, and its output."""
    workspace = make_workspace(tmp_path_factory.mktemp("flow"))
    done = make(workspace, "demo", "SHOW=", "DRIFT=")
    return workspace, done.stdout + done.stderr


def test_every_stage_leaves_a_report_with_its_rows(finished):
    for name in STAGES:
        report = json.loads((finished / "reports" / f"{name}.json").read_text())
        assert {"rows_in", "rows_out", "rows_quarantined"} <= set(report), name
        assert not [key for key in report if "seconds" in key or key.endswith("_s")], name
    rows = json.loads((finished / "reports" / "ingest.json").read_text())
    assert rows["rows_in"] == rows["rows_out"] + rows["rows_quarantined"]
    assert rows["rows_quarantined"] > 0


def test_a_second_repro_runs_nothing(finished):
    before = lock(finished)
    done = run(finished, "dvc", "repro")
    assert "up to date" in done.stdout + done.stderr
    assert "Running stage" not in done.stdout
    assert lock(finished) == before


def test_two_clones_give_equal_digests_whichever_drives_them(finished, by_flow):
    workspace, _ = by_flow
    assert lock(workspace) == lock(finished)


def test_the_flow_shows_each_stage_and_the_verdict(by_flow):
    _, shown = by_flow
    for number, name in enumerate(STAGES, start=1):
        assert f"[{number}/{len(STAGES)}] {name}: ran" in shown, shown


@pytest.mark.proof
def test_after_a_repro_the_flow_has_nothing_to_do_and_the_reverse(copy, by_flow):
    done = run(copy, "vitrine", "retrain")
    assert (done.stdout + done.stderr).count(": unchanged") >= len(STAGES)
    workspace, _ = by_flow
    assert "Running stage" not in run(workspace, "dvc", "repro").stdout


def test_the_demo_commits_nothing_and_says_what_it_used(by_flow):
    workspace, _ = by_flow
    changed = run(workspace, "git", "status", "--porcelain", "--untracked-files=all").stdout.split()
    assert set(changed[1::2]) <= {"dvc.lock", "params.yaml", "data/snapshot.json"}


def subset_of(photos: Path, folder: Path, num: int) -> Path:
    """A folder of `num` of the real photos, spread over the CSV, with their rows and a few faults of everyday life."""
    with open(photos / "listings.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = rows[:: len(rows) // num][:num]
    for row in chosen:
        (folder / row["image"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(photos / row["image"], folder / row["image"])
    (folder / chosen[0]["image"]).write_bytes(b"no picture")
    (folder / chosen[1]["image"]).unlink()
    chosen[2]["title"] = ""
    with open(folder / "listings.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(chosen[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return folder


@pytest.mark.proof
def test_real_photos_go_through_the_whole_line(photos, tmp_path):
    folder = subset_of(photos, tmp_path / "shop", num=240)
    workspace = make_workspace(tmp_path / "workspace")
    make(workspace, "demo", f"DATA={folder}")
    report = json.loads((workspace / "reports" / "ingest.json").read_text())
    assert report["quarantined"] == {"picture_missing": 1, "picture_wrong_format": 1, "title_missing": 1}
    parity = json.loads((workspace / "reports" / "export.json").read_text())["max_difference_by_batch"]
    assert set(parity) == {"1", "2", "7"}
    assert max(parity.values()) < 1e-4
    sources = {row["source"].split("/")[0] for row in read_shards(workspace / "data" / "listings", ["source"]).to_pylist()}
    encoder = json.loads((workspace / "reports" / "evaluate.json").read_text())["encoder"]
    assert {name.split("/")[0] for name in encoder} >= sources | {"all"}
    assert {"value", "low", "high"} == set(encoder["all"]["category"]["model_minus_color_histogram"]["ndcg_at_5"])
    assert all(read_shards(workspace / "data" / "impressions", ["simulated"])["simulated"].to_pylist())


def test_outs_are_the_same_bytes_without_the_work_cache(copy):
    before = {name: folder_digest(copy / "data" / name) for name in ("embeddings", "labels", "listings", "images")}
    shutil.rmtree(copy / ".vitrine")
    for stage in ("ingest", "label", "embed"):
        run(copy, "vitrine", "run", stage)
    assert {name: folder_digest(copy / "data" / name) for name in before} == before


def test_dvc_shows_metrics_plots_and_runs_experiments(copy):
    shown = json.loads(run(copy, "dvc", "metrics", "show", "--json").stdout)
    assert len(shown[""]["data"]) == len(STAGES)
    run(copy, "dvc", "plots", "show", "-o", "plots")
    assert (copy / "plots" / "index.html").exists()
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(copy, *git, "add", "dvc.lock")
    run(copy, *git, "commit", "-q", "-m", "a run")
    done = run(copy, "dvc", "exp", "run", "-S", "reference.num_golden_photos=3")
    assert "Running stage 'reference'" in done.stdout
    assert "Running stage 'evaluate'" not in done.stdout
    assert pq.read_table(copy / "bundle" / "golden.parquet").num_rows == 3
    changed = json.loads(run(copy, "dvc", "metrics", "diff", "--json").stdout)
    assert "reports/reference.json" in changed


def test_a_bad_knob_stops_the_run_and_names_the_right_one(copy):
    edit_params(copy, {"index": {"num_probes": "many"}})
    done = run(copy, "dvc", "repro", check=False)
    assert done.returncode
    assert "index.num_probes = 'many'" in done.stderr + done.stdout


def some_item(workspace: Path) -> str:
    return read_shards(workspace / "data" / "listings", ["item_id"])["item_id"][0].as_py()


def test_similar_answers_from_the_bundle_and_draws_a_sheet(copy):
    item = some_item(copy)
    shown = run(copy, "vitrine", "similar", item, "--num", "5", "--sheet", "out.png").stdout
    assert f"Most similar to {item}" in shown
    with Image.open(copy / "out.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 150


def test_similar_answers_a_text_and_a_photo(copy):
    run(copy, "vitrine", "similar", "--text", "青いマグカップ")
    data = read_shards(copy / "data" / "images", ["data"])["data"][0].as_py()
    (copy / "photo.jpg").write_bytes(data)
    assert "1.000" in run(copy, "vitrine", "similar", "--photo", "photo.jpg").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing-of-the-kind"], "no item 'nothing-of-the-kind'"),
        (["--text", " "], "the text is empty"),
        ([], "give one query"),
        (["--photo", "params.yaml"], "picture_wrong_format"),
        (["--text", "mug", "--bundle", "data"], "is no bundle"),
    ],
)
def test_similar_says_what_is_wrong_with_a_query(finished, arguments, message):
    done = run(finished, "vitrine", "similar", *arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_bundle_holds_what_its_manifest_says(finished):
    bundle = Bundle.open(finished / "bundle", threads=1)
    assert bundle.manifest["promote"] in (True, False)
    assert bundle.manifest["reasons"]
    assert bundle.manifest["params"]["split"]["seed"] is not None
    assert "path" not in bundle.manifest["params"]["ingest"]
    held_out = pq.read_table(finished / "bundle" / "drift_reference.parquet")
    splits = read_shards(finished / "data" / "splits").to_pylist()
    assert set(held_out["item_id"].to_pylist()) == {row["item_id"] for row in splits if row["split"] == "test"}


def test_golden_answers_come_back_from_the_bundle(finished):
    bundle = Bundle.open(finished / "bundle", threads=1)
    for row in pq.read_table(finished / "bundle" / "golden.parquet").to_pylist():
        vector, score = bundle.towers.embed_picture(row["data"])
        assert abs(vector - row["vector"]).max() < 1e-6
        assert abs(score - row["image_score"]) < 1e-6


@pytest.mark.parametrize(
    ("name", "message"), [("image.onnx", "was altered"), ("calibrator.json", "is missing"), ("extra.bin", "not in the manifest")]
)
def test_a_bundle_with_a_wrong_file_is_refused(copy, name, message):
    path = copy / "bundle" / name
    if message == "is missing":
        path.unlink()
    else:
        path.write_bytes((path.read_bytes() if path.exists() else b"") + b"x")
    with pytest.raises(BadBundle, match=f"{name}.*{message}"):
        verified_manifest(copy / "bundle")


def test_vectors_of_another_model_never_reach_an_index(copy):
    for path in sorted((copy / "data" / "embeddings").glob("*.parquet"))[:1]:
        table = pq.read_table(path)
        other = table.set_column(2, "fingerprint", [["0" * 16] * len(table)])
        pq.write_table(other.cast(table.schema), path)
    done = run(copy, "vitrine", "run", "index", check=False)
    assert "vectors of 2 models lie in one table" in done.stderr


def test_the_page_opens_without_internet(finished):
    page = (finished / "reports" / "evaluate.html").read_text()
    assert "<svg" in page
    assert not [word for word in ("http://", "https://", "<script src", "<link ") if word in page.replace("http://www.w3.org", "")]


def test_help_answers_at_once():
    took_s = []
    for _ in range(4):  # the first may compile what the next find, and other tests run beside
        started = time.monotonic()
        run(Path.cwd(), "vitrine", "--help")
        took_s.append(time.monotonic() - started)
    assert min(took_s) < 1.0


def test_training_killed_half_way_goes_on_from_its_checkpoint_and_ends_the_same(copy):
    expected = folder_digest(copy / "models" / "encoder")
    shutil.rmtree(copy / ".vitrine")
    stage = subprocess.Popen(["vitrine", "run", "finetune"], cwd=copy, env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(copy.glob(".vitrine/cache/finetune/*.checkpoint")):
        assert stage.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    stage.kill()
    stage.wait()
    again = run(copy, "vitrine", "run", "finetune")
    assert "going on at step" in again.stderr
    assert folder_digest(copy / "models" / "encoder") == expected


@pytest.mark.proof
def test_serving_in_int8_is_another_vector_space_and_answers_its_own_golden_photos(finished, copy):
    edit_params(copy, {"export": {"serving_precision": "int8"}})
    run(copy, "dvc", "repro", "reference")
    fp32, int8 = (Bundle.open(workspace / "bundle", threads=1) for workspace in (finished, copy))
    assert int8.towers.serving.precision == "int8"
    assert int8.index.fingerprint == int8.towers.serving.fingerprint != fp32.towers.serving.fingerprint
    for row in pq.read_table(copy / "bundle" / "golden.parquet").to_pylist():
        vector, _ = int8.towers.embed_picture(row["data"])
        assert abs(vector - row["vector"]).max() < 1e-6
