import json

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from components.errors import BadBundle, BadParams
from components.serve.inference.repository import Layout, config_pbtxt, models_of, write_repository
from components.towers import IMAGE_GRAPH, Serving
from flows.cli import app
from tests.conftest import PROJECT
from tests.serve.small_towers import DIM, MAX_TOKENS, SIDE_PX, write_towers


def layout(backend="onnxruntime", **changes) -> Layout:
    usual = {"max_rows": 8, "max_wait_ms": 2.0, "max_queued": 64, "instances": 2, "threads": 0}
    return Layout(backend, **usual | changes)


def parsed(text):
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def config_of(folder):
    return parsed((folder / "config.pbtxt").read_text())


@pytest.fixture
def bundle(tmp_path):
    return write_towers(tmp_path / "bundle")


def test_production_batches_on_the_server_and_says_whose_model_it_is(bundle, tmp_path):
    image, text = write_repository(bundle, tmp_path / "models", layout())
    config = config_of(tmp_path / "models" / image)
    assert (config.name, config.backend, config.max_batch_size) == (image, "onnxruntime", 8)
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("pixels", model_config_pb2.TYPE_FP32, [3, SIDE_PX, SIDE_PX])]
    assert [(o.name, list(o.dims)) for o in config.output] == [("embedding", [DIM]), ("image_score", [1])]
    assert config.output[1].HasField("reshape"), "onnxruntime answers a scalar, Triton knows none"
    assert not config.output[1].reshape.shape
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 64
    assert [(g.count, g.kind) for g in config.instance_group] == [(2, model_config_pb2.ModelInstanceGroup.KIND_CPU)]
    assert config.parameters["fingerprint"].string_value == Serving.read(bundle).fingerprint
    assert config.model_warmup, "ready means that a row went through"
    assert list(config_of(tmp_path / "models" / text).input[0].dims) == [MAX_TOKENS]


def test_the_python_backend_gets_its_code_and_no_reshape(bundle, tmp_path):
    for name in write_repository(bundle, tmp_path / "models", layout("python", threads=3)):
        config = config_of(tmp_path / "models" / name)
        assert config.backend == "python"
        assert config.parameters["threads"].string_value == "3"
        assert not any(output.HasField("reshape") for output in config.output)
        compile((tmp_path / "models" / name / "1" / "model.py").read_text(), name, "exec")


def test_models_are_named_after_the_bundle_so_that_two_bundles_lie_side_by_side(bundle, tmp_path):
    other = write_towers(tmp_path / "other", seed=1)
    names = write_repository(bundle, tmp_path / "models", layout()) + write_repository(other, tmp_path / "models", layout())
    assert len(set(names)) == 4
    assert all((tmp_path / "models" / name / "1" / "model.onnx").is_file() for name in names)


def test_written_again_it_is_the_same_and_a_change_replaces_it(bundle, tmp_path):
    def contents():
        return {p.relative_to(tmp_path): p.read_bytes() for p in (tmp_path / "models").rglob("*") if p.is_file()}

    write_repository(bundle, tmp_path / "models", layout())
    first = contents()
    write_repository(bundle, tmp_path / "models", layout())
    assert contents() == first
    (image, _) = write_repository(bundle, tmp_path / "models", layout(max_rows=4))
    assert config_of(tmp_path / "models" / image).max_batch_size == 4
    assert contents().keys() == first.keys()
    assert not list(tmp_path.glob(".partial*"))


def test_a_graph_whose_answers_depend_on_the_batch_is_run_a_row_at_a_time():
    serving = Serving("f" * 16, 8, 32, 16, 0, "int8", "p")
    image, _ = models_of("a" * 64, serving)
    config = parsed(config_pbtxt(image, layout(), batched=False, graph_sha256="0"))
    assert config.max_batch_size == 1
    assert not config.HasField("dynamic_batching")


@pytest.mark.parametrize("inside", ["notes.txt", "vitrine.json"])
def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(bundle, tmp_path, inside):
    target = tmp_path / "models"
    target.mkdir()
    (target / inside).write_text(json.dumps({"format": "another"}))
    with pytest.raises(BadParams, match="no model repository that Vitrine wrote"):
        write_repository(bundle, target, layout())
    assert [path.name for path in target.iterdir()] == [inside]


def test_an_empty_folder_is_taken_and_a_file_is_not(bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    assert write_repository(bundle, tmp_path / "empty", layout())
    (tmp_path / "file").write_text("")
    with pytest.raises(BadParams, match="is a file"):
        write_repository(bundle, tmp_path / "file", layout())


def test_an_altered_bundle_is_refused_and_nothing_is_written(bundle, tmp_path):
    with open(bundle / IMAGE_GRAPH, "ab") as file:
        file.write(b" ")
    with pytest.raises(BadBundle, match="was altered"):
        write_repository(bundle, tmp_path / "models", layout())
    assert not (tmp_path / "models").exists()


def test_the_command_names_what_it_wrote_and_refuses_an_unknown_backend(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    command = ["triton-repository", str(bundle), str(tmp_path / "models")]
    done = CliRunner().invoke(app, [*command, "--backend", "python", "--instances", "3"])
    assert done.exit_code == 0, done.output
    names = [line.rpartition("/")[2] for line in done.output.splitlines()]
    assert len(names) == 2
    for name in names:
        config = config_of(tmp_path / "models" / name)
        assert (config.backend, config.instance_group[0].count) == ("python", 3)
    refused = CliRunner().invoke(app, [*command, "--backend", "tensorrt"])
    assert isinstance(refused.exception, BadParams)
    assert "known are onnxruntime, python" in str(refused.exception)
