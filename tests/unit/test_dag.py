"""What flows.dag reads out of a dvc.yaml, and what it refuses."""

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadContract, BadWorkspace
from flows.dag import Stage, dag_of, read_dag

META = {"pool": "cpu", "gpu": 0, "retries": 0, "timeout_s": 60}


def entry(deps=(), outs=(), **more):
    return {"cmd": "true", "deps": list(deps), "outs": list(outs), "meta": META, **more}


def names(entries, params=None):
    return [stage.name for stage in dag_of(entries, params or {})]


def test_order_comes_from_deps_and_outs_not_from_the_file():
    entries = {"label": entry(["data/pairs"], ["data/labels"]), "pairs": entry(["data/raw"], ["data/pairs"])}
    assert dag_of(entries, {}) == (
        Stage(name="pairs", after=(), pool="cpu", gpu=0, retries=0, timeout_s=60),
        Stage(name="label", after=("pairs",), pool="cpu", gpu=0, retries=0, timeout_s=60),
    )


def test_stages_that_could_swap_keep_the_order_of_the_file():
    assert names({"z": entry(outs=["z"]), "a": entry(outs=["a"]), "m": entry(["a", "z"])}) == ["z", "a", "m"]


@pytest.mark.parametrize("key", ["outs", "metrics", "plots"])
def test_outs_metrics_and_plots_are_written_with_or_without_options(key):
    plain = {"b": entry(["reports/a.json"]), "a": entry(**{key: ["reports/a.json"]})}
    with_options = {"b": entry(["./reports/a.json"]), "a": entry(**{key: [{"reports/a.json": {"cache": True}}]})}
    assert names(plain) == names(with_options) == ["a", "b"]


def test_a_dep_inside_an_out_or_around_one_follows_its_writer():
    entries = {"one": entry(["models/encoder/config.json"]), "all": entry(["models"]), "other": entry(["models_old"])}
    entries["encoder"] = entry(outs=["models/encoder"])
    after = {stage.name: stage.after for stage in dag_of(entries, {})}
    assert after == {"other": (), "encoder": (), "one": ("encoder",), "all": ("encoder",)}


def test_paths_are_relative_to_wdir():
    assert names({"b": entry(["shop/a.txt"]), "a": entry(outs=["a.txt"], wdir="shop")}) == ["a", "b"]


def test_paths_come_from_params(tmp_path):
    entries = {"b": entry(["${paths.a}/x"]), "a": entry(outs=["data/a"])}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": entries}, sort_keys=False))
    (tmp_path / "params.yaml").write_text("paths: {a: data/a}\n")
    assert [stage.name for stage in read_dag(tmp_path / "dvc.yaml")] == ["a", "b"]


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_every_stage_comes_after_its_upstream_whatever_the_order_of_the_file(num_stages: int, rng: random.Random):
    reads = {n: [m for m in range(n) if rng.random() < 0.4] for n in range(num_stages)}
    shuffled = rng.sample(range(num_stages), num_stages)
    entries = {f"s{n}": entry([f"out/{m}" for m in reads[n]], [f"out/{n}"]) for n in shuffled}
    stages = dag_of(entries, {})
    place = {stage.name: n for n, stage in enumerate(stages)}
    assert sorted(place) == sorted(entries)
    for stage in stages:
        assert set(stage.after) == {f"s{m}" for m in reads[int(stage.name[1:])]}
        assert all(place[before] < place[stage.name] for before in stage.after)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": entry(["b"], ["a"]), "b": entry(["a"], ["b"])}, "wait for each other: .*a.* -> "),
        ({"a": entry(outs=["x"]), "b": entry(outs=["./x"])}, "x is an out of both 'a' and 'b'"),
        ({"a": {"cmd": "true"}}, "'a' has no `meta:`; it says pool, gpu, retries, timeout_s"),
        ({"a": entry(meta={"pool": "cpu", "gpu": 0, "retries": 0})}, "'a' lacks meta.timeout_s"),
        ({"a": entry(meta={**META, "timeouts": 3})}, "unknown key meta.timeouts; did you mean 'timeout_s'"),
        ({"a": entry(meta={**META, "gpu": "1"})}, "meta.gpu must be int, found '1'"),
        ({"a": entry(meta={**META, "retries": True})}, "meta.retries must be int, found True"),
        ({"a": entry(meta={**META, "retries": -1})}, "meta.retries = -1, but the least is 0"),
        ({"a": entry(meta={**META, "timeout_s": 0})}, "meta.timeout_s = 0, but the least is 1"),
        ({"a": {"foreach": [1, 2], "do": entry()}}, "'a' uses `foreach:`"),
        ({"a": entry(matrix={"n": [1]})}, "'a' uses `matrix:`"),
        ({"a": entry(["${paths.listing}"])}, r"\$\{paths.listing\}, which params.yaml has not; did you mean 'listings'"),
        ({"a": "vitrine run a"}, "'a' must be a mapping, found str"),
        ({"a": entry([3])}, "'a' has 3 under deps, which is no path"),
    ],
)
def test_what_the_flow_cannot_follow_is_refused_by_name(entries, message):
    with pytest.raises(BadContract, match=message):
        dag_of(entries, {"paths": {"listings": "data/listings"}})


@pytest.mark.parametrize("text", ["", "stages:", "stages: []", "vars: [x]\nstages: {a: {cmd: b}}", "stages: ["])
def test_a_file_without_stages_is_refused(text, tmp_path):
    (tmp_path / "dvc.yaml").write_text(text)
    with pytest.raises(BadContract, match=r"dvc\.yaml"):
        read_dag(tmp_path / "dvc.yaml")


def test_a_missing_file_says_where_to_stand(tmp_path):
    with pytest.raises(BadWorkspace, match="run this in the folder that holds"):
        read_dag(tmp_path / "dvc.yaml")


def test_the_repositorys_own_line_goes_from_ingest_to_reference():
    stages = read_dag(Path(__file__).parents[2] / "dvc.yaml")
    assert (stages[0].name, stages[-1].name) == ("ingest", "reference")
    assert [stage.name for stage in stages if not stage.after] == ["ingest"]
