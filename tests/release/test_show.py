"""The show on the small market: a real gateway, real shoppers in a process of their own, the real controller."""

import json
import re
import shutil
from pathlib import Path

import pytest

from components.contract import bind, read_params
from components.errors import BadParams, BadWorkspace, VitrineError
from components.manifest import MANIFEST
from components.release.config import ReleaseConfig
from components.serve.config import ServeConfig
from flows import faults, first, shop, telling
from flows import show as the_show
from flows.screen import Screen
from flows.show import Act, ShowConfig, changes_of, endings
from tests.conftest import PROJECT
from tests.release.rehearsed import promoted, varied

PARAMS = read_params(PROJECT / "params.yaml")
WIDE = {name: {"margin": 0.9} for name in PARAMS["release"]["judge"]["metrics"]}
# One rung, margins that only the slow release breaks, and few users: the parts are real, the numbers are not what is looked at.
QUICK = {
    "limit_s": 120.0,
    "num_shelves": 2,
    "shoppers": {"pages_per_s": 60.0, "num_users": 5000, "num_connections": 8},
    "release": {
        "shadow": {"share": 0.5, "min_compared": 20, "min_overlap": 0.0, "max_latency_ratio": 1000.0},
        "ladder": {"rungs": [50, 100], "look_s": 0.5, "min_s": 0.0, "min_users": 20, "soak_users": 20},
        "counting": {"min_baseline_answers": 20},
        "judge": {
            "metrics": {**WIDE, "slow_share": {"margin": 0.3}, "tap_rate": {"margin": 0.95}, "purchase_rate": {"margin": 0.99}},
            "success_from_percent": 99,
            "rungs": [{"weight_percent": 50, "horizon_users": 4000}],
        },
    },
}


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch):
    """A copy of the finished workspace, as the working folder."""
    copy = Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def params(workspace):
    return first.merged(read_params(), {"show": QUICK})


def test_the_section_of_params_makes_a_ladder_and_a_gateway():
    cfg = bind(ShowConfig, "show", PARAMS)
    changed = first.merged(PARAMS, {"serve": cfg.serve, "release": cfg.release})
    assert bind(ReleaseConfig, "release", changed).ladder.rungs[-1] == 100
    bind(ServeConfig, "serve", changed)


def test_the_show_changes_horizons_and_margins_and_no_chance_of_error():
    own = PARAMS["show"]["release"]
    assert "budget" not in own["judge"]
    assert {key for metric in own["judge"]["metrics"].values() for key in metric} == {"margin"}


def test_what_is_changed_lies_in_its_place_and_the_rest_stays():
    assert first.merged({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}, "d": 2}


def test_an_unknown_fault_is_told_before_anything_is_trained():
    with pytest.raises(BadParams, match="shuffled, preprocessing, slow"):
        faults.named("sleepy")


def test_a_workspace_without_a_run_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadWorkspace, match="vitrine retrain"):
        first.train(tmp_path / "first", {}, print)


@pytest.mark.proof
def test_the_first_release_is_trained_apart_and_only_where_it_differs(workspace):
    before = (workspace / "bundle" / MANIFEST).read_bytes()
    said = []
    bundle = first.train(workspace / "first", {"finetune": {"train": {"epochs": 1}}}, said.append)
    manifest = json.loads((bundle / MANIFEST).read_text())
    assert manifest["params"]["finetune"]["train"]["epochs"] == 1
    assert manifest["fingerprint"] != json.loads(before)["fingerprint"]
    assert (workspace / "bundle" / MANIFEST).read_bytes() == before
    ran = {line.split("'")[1] for line in said if "Running stage" in line}
    assert "finetune" in ran
    assert not ran & {"ingest", "split", "pairs", "label"}


def test_a_stage_that_fails_ends_the_training_with_its_last_lines(workspace):
    with pytest.raises(VitrineError, match="could not be trained"):
        first.train(workspace / "first", {"finetune": {"train": {"epochs": "many"}}}, lambda line: None)


def test_a_gateway_that_cannot_start_is_told_with_its_last_lines(workspace, params):
    place = shop.lay_out(workspace / "shop", params, {"serve": {"golden": {"min_cosine": "high"}}}, workspace / "bundle")
    with pytest.raises(VitrineError, match=r"serve\.golden\.min_cosine"), shop.opened(place):
        pass


@pytest.mark.proof
def test_a_good_release_is_promoted_and_a_slow_one_goes_back_with_its_times_told(workspace, params, capsys):
    cfg = bind(ShowConfig, "show", params)
    ready = promoted(params, workspace / "ready")
    good = Path(ready["paths"]["bundle"])
    fault = faults.make("slow", ready, workspace / "bad", 1)
    acts = [
        Act("The first release", "It is there.", varied(good, workspace / "begun", note="first")),
        Act("A better model", "As good.", good),
        Act("A bad release", fault.about, fault.bundle),
    ]
    place = shop.lay_out(workspace / "shop", params, changes_of(cfg, fault), acts[0].bundle)
    with Screen() as screen:
        chapters = the_show._played(place, acts, cfg, screen)
        the_show._written(chapters, bind(ReleaseConfig, "release", place.params), workspace / "data/images")
    assert [chapter.ending for chapter in chapters] == [telling.PROMOTED, telling.PROMOTED, telling.ROLLED_BACK]
    _, better, bad = chapters
    assert "slow_share" in bad.reason
    assert bad.timings
    for timing in bad.timings.values():
        assert timing.to_boundary_s > 0
        assert timing.weightless is not None
        assert 0 <= timing.to_weightless_s <= 5  # the promise of the release
    assert [move.kind for move in better.moved][-1] == "promote"
    assert not better.timings
    assert better.shelves
    page = Path("reports/release.html").read_text(encoding="utf-8")
    assert len(page) < 2 * 2**20
    assert re.findall(r'<span class="badge \w+">([^<]*)<', page)[:3] == ["promoted", "promoted", "rolled back"]
    lines = endings(chapters)
    assert len(lines) == 3
    assert "from the first bad answer to the boundary" in lines[2]
    assert "climb" in capsys.readouterr().out
