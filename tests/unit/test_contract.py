import dataclasses
from pathlib import Path

import pytest
import yaml

from components import contract
from components.contract import Config, bind, code_digest, code_files, contract_of, path_of, run, write_json
from components.errors import BadContract, BadParams, BadWorkspace
from components.objects import FolderStore
from components.work_cache import WorkCache


class Inner(Config):
    colour: str


class Knobs(Config):
    batch_size: int
    share: float
    inner: Inner


GOOD = {"batch_size": 8, "share": 0.5, "inner": {"colour": "red"}}


def test_a_section_becomes_a_frozen_config():
    knobs = bind(Knobs, "embed", {"embed": GOOD})
    assert (knobs.batch_size, knobs.inner.colour) == (8, "red")
    with pytest.raises(ValueError, match="frozen"):
        knobs.batch_size = 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batchsize": 9}, "unknown key embed.batchsize; did you mean 'batch_size'"),
        ({"inner": {"color": "red"}}, "unknown key embed.inner.color; did you mean 'colour'"),
        ({"batch_size": "8"}, "embed.batch_size = '8'"),
        ({"share": None}, "embed.share = None"),
    ],
)
def test_a_bad_knob_is_named_with_the_nearest_known_one(change, message):
    with pytest.raises(BadParams, match=message.replace(".", r"\.")):
        bind(Knobs, "embed", {"embed": GOOD | change})


def test_a_missing_key_and_a_missing_section_are_named():
    with pytest.raises(BadParams, match=r"embed\.share is missing"):
        bind(Knobs, "embed", {"embed": {k: v for k, v in GOOD.items() if k != "share"}})
    with pytest.raises(BadParams, match="no section 'embed'; did you mean 'embedd'"):
        bind(Knobs, "embed", {"embedd": GOOD})


def test_an_unknown_path_is_named_with_the_nearest_known_one():
    with pytest.raises(BadParams, match="did you mean 'listings'"):
        path_of("listing", {"paths": {"listings": "data/listings"}})


def test_an_unknown_stage_says_which_file_is_missing():
    with pytest.raises(BadContract, match=r"components/nothing/component\.py does not exist"):
        contract_of("nothing")


def test_equal_results_are_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1 / 3, "a": [1.0, {"c": 2.3841858e-07}]})
    write_json(tmp_path / "b.json", {"a": [1.0, {"c": 2.3841858000001e-07}], "b": 0.33333333})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "c.json", {"a": float("nan")})


def project(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_closure_follows_imports_also_inside_functions_and_through_modules(tmp_path):
    root = project(
        tmp_path,
        {
            "components/embed/component.py": "from components import shards\nimport os\n",
            "components/embed/batches.py": "def f():\n    from components.images import decode\n",
            "components/shards.py": "import components.objects\n",
            "components/objects.py": "",
            "components/images.py": "",
            "components/unused.py": "",
        },
    )
    found = [str(f) for f in code_files("embed", root)]
    assert found == [f"components/{n}.py" for n in ("embed/batches", "embed/component", "images", "objects", "shards")]


def test_the_code_digest_is_of_this_stage_alone():
    assert code_digest("index") == code_digest("index")
    assert code_digest("index") != code_digest("embed")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A workspace whose `index` stage is replaced by one that a test steers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"paths": {"there": "data/there", "made": "data/made"}}))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "there").write_text("in")

    def steer(body):
        def stage(there: contract.In, made: contract.Out) -> contract.Summary:
            return body(there, made)

        made = contract.Contract("toy", stage, ("there",), ("made",), {}, ())
        monkeypatch.setattr(contract, "contract_of", lambda _: made)
        monkeypatch.setattr(contract, "die_with_parent", lambda: None)
        return tmp_path

    return steer


def write_ten(there, made):
    made.write_text(there.read_text() * 10)
    return contract.Summary(rows_in=1, rows_out=10)


def test_outs_and_report_appear_together_after_the_stage(toy):
    root = toy(write_ten)
    assert dataclasses.asdict(run("toy")) == {"rows_in": 1, "rows_out": 10, "rows_quarantined": 0}
    assert (root / "data/made").read_text() == "in" * 10
    assert '"rows_out": 10' in (root / "reports/toy.json").read_text()
    assert '"stage": "toy"' in (root / "runs/stages.jsonl").read_text()


def test_a_stage_that_fails_leaves_the_old_outs_alone(toy):
    root = toy(write_ten)
    run("toy")

    def fail(there, made):
        made.write_text("half")
        raise BadParams("no")

    toy(fail)
    with pytest.raises(BadParams):
        run("toy")
    assert (root / "data/made").read_text() == "in" * 10


def test_what_a_failed_run_wanted_done_in_its_end_is_not_done_by_the_next(toy):
    done = []

    def ask_and_fail(there, made):
        contract.when_placed(lambda: done.append("of the one that failed"))
        raise BadParams("no")

    def ask(there, made):
        contract.when_placed(lambda: done.append("its own"))
        return write_ten(there, made)

    toy(ask_and_fail)
    with pytest.raises(BadParams):
        run("toy")
    toy(ask)
    run("toy")
    assert done == ["its own"]


def test_a_stage_that_forgets_an_out_is_an_error(toy):
    toy(lambda there, made: contract.Summary(rows_in=0, rows_out=0))
    with pytest.raises(BadContract, match="without writing its out made"):
        run("toy")


def test_a_missing_input_says_what_makes_it(toy):
    root = toy(write_ten)
    (root / "data/there").unlink()
    with pytest.raises(BadWorkspace, match="dvc repro toy"):
        run("toy")


def test_a_folder_without_params_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadWorkspace, match=r"params\.yaml not found"):
        run("index")


def test_a_run_answers_for_its_own_use_of_the_work_cache_alone(toy):
    root = toy(write_ten)
    earlier = WorkCache(FolderStore(root / "cache"), "earlier", {"code": "1"})
    earlier.close()
    run("toy")
    assert '"cache"' not in (root / "runs/stages.jsonl").read_text()
