"""dvc.yaml and the signatures say the same: paths, params, command and code of every stage."""

import re
from pathlib import Path

import pytest
import yaml

from components.contract import code_files, contract_of, path_of, read_params, report_of, sections_of
from tests.conftest import PROJECT

STAGES = [
    "ingest",
    "validate",
    "split",
    "pairs",
    "label",
    "validate_training",
    "finetune",
    "score",
    "export",
    "embed",
    "validate_vectors",
    "index",
    "evaluate",
    "reference",
]
DAG = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
PARAMS = read_params(PROJECT / "params.yaml")


def paths(entries: list) -> list[str]:
    """DVC entries are a path, or a mapping of one path to its settings."""
    return sorted(next(iter(e)) if isinstance(e, dict) else e for e in entries)


def is_code(path: str) -> bool:
    return path.split("/")[0] in ("components", "flows", "monitoring")


def test_the_dag_holds_the_stages_of_the_design_and_of_adr_6_in_order():
    assert list(DAG) == STAGES


@pytest.mark.parametrize("name", STAGES)
def test_command_runs_the_stage_itself(name):
    assert DAG[name]["cmd"] == f"vitrine run {name}"


@pytest.mark.parametrize("name", STAGES)
def test_data_deps_are_the_inputs_of_the_signature(name):
    declared = [p for p in paths(DAG[name]["deps"]) if not is_code(p)]
    assert declared == sorted(str(path_of(n, PARAMS)) for n in contract_of(name).ins)


@pytest.mark.parametrize("name", STAGES)
def test_outs_metrics_and_plots_are_the_outputs_of_the_signature(name):
    stage = DAG[name]
    declared = paths(stage.get("outs", []) + stage.get("plots", []))
    assert declared == sorted(str(path_of(n, PARAMS)) for n in contract_of(name).outs)
    assert paths(stage["metrics"]) == [str(report_of(name))]


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_of_the_signature(name):
    contract = contract_of(name)
    assert sorted(DAG[name]["params"]) == sorted(sections_of(PARAMS) if contract.all_params else contract.sections)


@pytest.mark.parametrize("name", STAGES)
def test_code_deps_are_the_own_folder_and_the_import_closure(name):
    own = f"components/{name}"
    closure = {str(f) for f in code_files(name) if not f.is_relative_to(own)}
    assert {p for p in paths(DAG[name]["deps"]) if is_code(p)} == closure | {own}


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_imports_another_stages_folder(name):
    others = [f for f in code_files(name) if f.parts[1] in set(STAGES) - {name}]
    assert others == []


@pytest.mark.parametrize("name", STAGES)
def test_meta_says_where_and_how_long_a_stage_may_run(name):
    meta = DAG[name]["meta"]
    assert set(meta) == {"pool", "gpu", "retries", "timeout_s"}
    assert meta["pool"] == ("gpu" if meta["gpu"] else "cpu")


@pytest.mark.parametrize("name", STAGES)
def test_no_out_is_kept_from_the_run_cache(name):
    stage = DAG[name]
    settings = [next(iter(e.values())) for kind in ("outs", "metrics", "plots") for e in stage.get(kind, []) if isinstance(e, dict)]
    assert all(not s.get("persist") and s.get("cache", True) for s in settings)


def test_truth_is_read_by_evaluate_alone():
    truth = str(path_of("truth", PARAMS))
    assert [name for name in STAGES if truth in DAG[name]["deps"]] == ["evaluate"]


def test_each_path_has_one_name_and_is_used():
    used = {n for name in STAGES for n in (*contract_of(name).ins, *contract_of(name).outs)}
    assert set(PARAMS["paths"]) == used
    assert len(set(PARAMS["paths"].values())) == len(PARAMS["paths"])


def test_params_hold_no_section_that_no_stage_reads():
    read = {section for name in STAGES for section in contract_of(name).sections}
    assert set(sections_of(PARAMS)) == read


def test_imports_go_one_way():
    """flows -> monitoring -> components."""
    allowed = {"components": {"components"}, "monitoring": {"components", "monitoring"}}
    for package, fine in allowed.items():
        for path in (PROJECT / package).rglob("*.py"):
            for line in path.read_text().splitlines():
                words = line.split()
                if words[:1] in (["from"], ["import"]) and words[1].split(".")[0] in ("components", "flows", "monitoring"):
                    assert words[1].split(".")[0] in fine, f"{path.relative_to(PROJECT)}: {line}"


def test_packages_hold_no_code_in_their_init():
    """code_files follows modules, not packages: code in an __init__.py would be nobody's dep."""
    for path in Path(PROJECT).glob("components/**/__init__.py"):
        assert not [line for line in path.read_text().splitlines() if line.startswith(("import", "from", "def", "class"))], path


def test_nothing_is_pickled():
    """Reading a pickle runs whatever its writer wanted."""
    files = [path for package in ("components", "flows", "monitoring") for path in (PROJECT / package).rglob("*.py")]
    word = re.compile(r"\b(import|from) (c?pickle|dill|joblib|marshal|shelve)\b|(?<!safetensors\.)\btorch\.(load|save)\(|allow_pickle=True")
    assert [str(path.relative_to(PROJECT)) for path in files if word.search(path.read_text())] == []
