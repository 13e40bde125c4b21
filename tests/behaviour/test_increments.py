"""What a run costs follows the change: finished work is reused, in whatever state the work cache is, and the outs never show it."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from components.contract import bind, read_params
from components.fingerprint import file_digest
from components.ingest.market import MarketConfig, simulate
from components.manifest import folder_digest
from tests.conftest import PROJECT, edit_params, make_workspace, run

CACHED = ("ingest", "label", "embed", "evaluate")
OUTS = ("data/listings", "data/images", "data/impressions", "data/quarantine", "data/labels", "data/embeddings", "data/verdict.json")


def digests(workspace: Path) -> dict[str, str]:
    """The outs of the stages that use the work cache, and their reports."""
    paths = [workspace / name for name in (*OUTS, *(f"reports/{stage}.json" for stage in CACHED))]
    return {str(p.relative_to(workspace)): folder_digest(p) if p.is_dir() else file_digest(p) for p in paths}


def use_of(workspace: Path, stage: str) -> dict:
    """What the stage's last run said of the work cache."""
    rows = map(json.loads, (workspace / "runs" / "stages.jsonl").read_text().splitlines())
    return [row["cache"] for row in rows if row["stage"] == stage][-1]


def segments(workspace: Path) -> list[Path]:
    return sorted((workspace / ".vitrine" / "cache").rglob("*.parquet"))


def empty(workspace: Path) -> None:
    shutil.rmtree(workspace / ".vitrine" / "cache")


def half(workspace: Path) -> None:
    for segment in segments(workspace)[::2]:
        segment.unlink()


def damaged(workspace: Path) -> None:
    for segment in segments(workspace):
        segment.write_bytes(segment.read_bytes()[:-9] + b"?" * 9)


@pytest.fixture
def copy(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(empty, id="empty"),
        pytest.param(half, id="half full", marks=pytest.mark.proof),
        pytest.param(damaged, id="damaged"),
        pytest.param(lambda workspace: None, id="warm"),
    ],
)
def test_outs_are_the_same_bytes_in_every_state_of_the_cache(copy, state):
    before = digests(copy)
    state(copy)
    for stage in CACHED:
        run(copy, "vitrine", "run", stage)
    assert digests(copy) == before
    if state in (empty, damaged):
        assert all(use_of(copy, stage)["reused"] == 0 for stage in CACHED)
    elif state is not half:
        assert all(use_of(copy, stage)["recomputed"] == 0 for stage in CACHED)


@pytest.mark.proof
def test_outs_are_the_same_bytes_with_the_cache_on_s3_which_a_second_clone_shares(copy, tmp_path, s3, monkeypatch):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    before = digests(copy)
    edit_params(copy, {"cache": {"url": f"{s3.url}/work"}})
    other = Path(shutil.copytree(copy, tmp_path / "other", symlinks=True))
    shutil.rmtree(other / ".vitrine")
    for workspace, name in ((copy, "recomputed"), (other, "reused")):
        for stage in ("ingest", "embed"):
            run(workspace, "vitrine", "run", stage)
            use = use_of(workspace, stage)
            assert {k: v > 0 for k, v in use.items() if k in ("reused", "recomputed")} == {
                "reused": name == "reused",
                "recomputed": name == "recomputed",
            }
        assert digests(workspace) == before


def test_where_the_cache_lies_is_nothing_to_run_again_for(copy):
    edit_params(copy, {"cache": {"url": "elsewhere", "max_gib": 1.0}})
    assert "Running stage" not in run(copy, "dvc", "repro").stdout


def test_changed_code_of_embed_is_a_new_identity_for_embeddings_and_for_nothing_else(copy):
    with open(copy / "components" / "embed" / "component.py", "a") as file:
        file.write("# changed\n")
    for stage in CACHED:
        run(copy, "vitrine", "run", stage)
    assert {stage: use_of(copy, stage)["changed"] for stage in CACHED} == {"ingest": [], "label": [], "embed": ["code"], "evaluate": []}
    assert {stage: use_of(copy, stage)["reused"] > 0 for stage in CACHED} == {
        "ingest": True,
        "label": True,
        "embed": False,
        "evaluate": True,
    }


def shop(folder: Path, num_photos: int) -> list[Path]:
    """A folder source of drawn photos, and the photos."""
    market = bind(MarketConfig, "market", read_params(PROJECT / "params.yaml"))
    market = market.model_copy(update={"num_listings": num_photos, "num_sellers": num_photos // 4, "bad_share": 0.0})
    folder.mkdir()
    names = ["item_id", "image", "title", "category", "subcategory", "contributor_id", "group_id"]
    with open(folder / "listings.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for raw, _ in simulate(market):
            (folder / raw.picture_name).write_bytes(raw.picture)
            row = raw.fields
            writer.writerow([row["item_id"], raw.picture_name, row["title"], *row["category"][:2], row["seller_id"], row["product_id"]])
    return sorted(folder.glob("*.jpg"))


def retaken(photo: bytes) -> bytes:
    """The photo as its seller might have replaced it: a little brighter."""
    target = io.BytesIO()
    ImageEnhance.Brightness(Image.open(io.BytesIO(photo)).convert("RGB")).enhance(1.15).save(target, "JPEG", quality=90)
    return target.getvalue()


@pytest.mark.proof
def test_one_per_cent_of_photos_changed_costs_about_one_per_cent(tmp_path):
    folder = tmp_path / "shop"
    photos = shop(folder, num_photos=400)
    workspace = make_workspace(tmp_path / "workspace")
    run(workspace, "vitrine", "source", "folder", str(folder))
    run(workspace, "dvc", "repro")
    for photo in photos[:: len(photos) // 4]:
        photo.write_bytes(retaken(photo.read_bytes()))
    run(workspace, "vitrine", "source", "folder", str(folder))
    run(workspace, "dvc", "freeze", "finetune", "score", "export")
    run(workspace, "dvc", "repro")
    uses = {stage: use_of(workspace, stage) for stage in ("ingest", "label", "embed")}
    shares = {stage: use["recomputed"] / (use["reused"] + use["recomputed"]) for stage, use in uses.items()}
    assert 0 < shares["ingest"] <= 0.02, uses
    assert 0 < shares["embed"] <= 0.02, uses
    assert shares["label"] <= 0.03, uses
