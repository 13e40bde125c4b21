"""Against the real server of the nvidia-pytriton wheel, on its Python backend."""

import asyncio
import os
import shutil
import signal
import time

import numpy as np
import pytest

from components.errors import BadBundle
from components.serve.inference.open import open_inference
from components.serve.inference.repository import Layout, models_of, write_repository
from components.serve.inference.triton import refusal
from components.serve.problems import Refused
from components.towers import Serving
from tests.serve.exported_bundle import small_squares
from tests.serve.small_towers import WHITE, config, squares, write_towers
from tests.serve.triton_server import free_ports, serving, start

PYTHON = Layout("python", max_rows=8, max_wait_ms=2.0, max_queued=64, instances=1, threads=1)
TITLES = ["red mug", "赤いマグ", "blue\n shoe", ""]


def repository(folder, *bundles, layout=PYTHON):
    for bundle in bundles:
        write_repository(bundle, folder, layout)
    return folder


def scene(server, bundle, act, **changes):
    """What `act` makes of the bundle's inference on the server, which is closed afterwards."""

    async def play():
        inference = await open_inference(config(backend="triton", triton_url=server.url, **changes), bundle, bundle)
        try:
            return await act(inference)
        finally:
            await inference.close()

    return asyncio.run(play())


async def _each(inference, rows):
    return await asyncio.gather(*(inference.embed_square(row) for row in rows), return_exceptions=True)


async def _both(inference, rows):
    return await _each(inference, rows), await inference.embed_texts(TITLES)


@pytest.fixture(scope="module")
def server(small_exports, tmp_path_factory):
    """A server that holds the exported bundles and one whose model stumbles over a white picture."""
    folder = tmp_path_factory.mktemp("triton")
    poisonous = write_towers(folder / "poisonous", poison="raises")
    with serving(repository(folder / "models", *small_exports.values(), poisonous), folder) as server:
        yield server


@pytest.fixture(scope="module")
def poisonous(tmp_path_factory):
    return write_towers(tmp_path_factory.mktemp("poisonous") / "bundle", poison="raises")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_pictures_and_texts_get_the_same_answers_as_in_process_bit_for_bit(server, small_exports, tmp_path, precision):
    bundle, rows = small_exports[precision], small_squares(20)

    async def in_process():
        inference = await open_inference(config(), bundle, tmp_path)
        try:
            return await _both(inference, rows)
        finally:
            await inference.close()

    here, texts_here = asyncio.run(in_process())
    there, texts_there = scene(server, bundle, lambda inference: _both(inference, rows))
    assert [(vector.tobytes(), score) for vector, score in there] == [(vector.tobytes(), score) for vector, score in here]
    assert texts_there.tobytes() == texts_here.tobytes()


def test_many_callers_are_answered_in_batches(server, small_exports):
    async def act(inference):
        return await _each(inference, small_squares(64)), inference.status()

    found, status = scene(server, small_exports["fp32"], act)
    assert not [answer for answer in found if isinstance(answer, Exception)]
    assert status.backend == "triton"
    assert status.pictures.num_rows == 64 > status.pictures.num_batches


def test_a_poisonous_picture_is_told_alone_and_its_batch_mates_are_answered(server, poisonous):
    rows = squares(7)

    async def act(inference):
        clean = [await inference.embed_square(row) for row in rows]
        return clean, await _each(inference, [*rows[:3], WHITE, *rows[3:]])

    clean, found = scene(server, poisonous, act)
    assert found[3].code == "picture_poisonous"
    for (vector, score), (wanted, wanted_score) in zip([*found[:3], *found[4:]], clean, strict=True):
        assert np.array_equal(vector, wanted)
        assert score == wanted_score


def test_a_full_queue_refuses_and_the_others_are_answered(server, small_exports):
    found = scene(
        server, small_exports["fp32"], lambda inference: _each(inference, small_squares(60)), max_queued_rows=8, triton_max_in_flight=1
    )
    codes = {answer.code for answer in found if isinstance(answer, Refused)}
    assert codes == {"overloaded"}
    assert any(not isinstance(answer, Refused) for answer in found)


def test_a_server_whose_own_queue_is_full_is_overloaded_and_not_broken(small_exports, tmp_path):
    narrow = Layout("python", max_rows=1, max_wait_ms=0.0, max_queued=1, instances=1, threads=1)
    bundle = small_exports["fp32"]
    with serving(repository(tmp_path / "models", bundle, layout=narrow), tmp_path) as server:
        found = scene(server, bundle, lambda inference: _each(inference, small_squares(80)), max_rows=1, triton_max_in_flight=40)
    codes = {answer.code for answer in found if isinstance(answer, Refused)}
    assert codes == {"overloaded"}
    assert any(not isinstance(answer, Refused) for answer in found)


@pytest.mark.parametrize("wrong", ["fingerprint", "dim"])
def test_a_model_under_the_bundles_name_that_is_another_is_refused_on_start(small_exports, tmp_path, wrong):
    bundle, folder = small_exports["fp32"], tmp_path / "models"
    repository(folder, bundle)
    facts = Serving.read(bundle)
    old, new = {"fingerprint": (facts.fingerprint, "0" * 16), "dim": ("dims: [ 8 ]", "dims: [ 4 ]")}[wrong]
    for path in folder.glob("*/config.pbtxt"):
        path.write_text(path.read_text().replace(old, new))
    with serving(folder, tmp_path) as server, pytest.raises(BadBundle, match="is not the bundle's"):
        scene(server, bundle, None)


def test_a_graph_that_was_exchanged_is_not_loaded_and_so_refused(small_exports, tmp_path):
    bundle, other, folder = small_exports["fp32"], small_exports["int8"], tmp_path / "models"
    names = repository(folder, bundle) and sorted(path.name for path in folder.glob("vitrine_image*"))
    shutil.copy2(other / "image.onnx", folder / names[0] / "1" / "model.onnx")
    with serving(folder, tmp_path) as server, pytest.raises(Refused, match=r"inference_failed.*does not hold"):
        scene(server, bundle, None)


def test_a_bundle_that_the_server_does_not_hold_is_refused(server, tmp_path):
    with pytest.raises(Refused, match=r"inference_failed.*does not hold"):
        scene(server, write_towers(tmp_path / "bundle", seed=7), None)


def test_no_server_is_told_at_once(small_exports):
    class Nobody:
        url = f"127.0.0.1:{free_ports(1)[0]}"

    started = time.monotonic()
    with pytest.raises(Refused) as refused:
        scene(Nobody, small_exports["fp32"], None)
    assert refused.value.code == "inference_failed"
    assert refused.value.retry_after_s > 0
    assert time.monotonic() - started < 5


def test_a_killed_server_is_told_at_once_and_works_again_when_it_is_back(small_exports, tmp_path):
    bundle, ports = small_exports["fp32"], free_ports(2)
    models, row = repository(tmp_path / "models", bundle), small_squares(1)[0]
    first = start(models, tmp_path, ports)

    async def act(inference):
        before = await inference.embed_square(row)
        await asyncio.to_thread(first.kill)
        refused = []
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(Refused) as failure:
                await inference.embed_square(row)
            refused.append((failure.value.code, time.monotonic() - started))
        second = await asyncio.to_thread(start, models, tmp_path, ports)
        try:
            return before, refused, await _answer(inference, row)
        finally:
            await asyncio.to_thread(second.kill)

    before, refused, after = scene(first, bundle, act)
    assert [code for code, _ in refused] == ["inference_failed"] * 3
    assert max(seconds for _, seconds in refused) < 2.0
    assert after[0].tobytes() == before[0].tobytes()


async def _answer(inference, row, limit_s=15.0):
    ends = time.monotonic() + limit_s
    while True:
        try:
            return await inference.embed_square(row)
        except Refused:
            assert time.monotonic() < ends
            await asyncio.sleep(0.1)


def test_a_server_that_comes_back_with_another_model_gives_no_vectors(small_exports, tmp_path):
    bundle, ports = small_exports["fp32"], free_ports(2)
    models, row = repository(tmp_path / "models", bundle), small_squares(1)[0]
    first = start(models, tmp_path, ports)

    async def act(inference):
        await inference.embed_square(row)
        await asyncio.to_thread(first.kill)
        with pytest.raises(Refused):
            await inference.embed_square(row)
        for path in models.glob("*/config.pbtxt"):
            path.write_text(path.read_text().replace(inference.serving.fingerprint, "0" * 16))
        second = await asyncio.to_thread(start, models, tmp_path, ports)
        try:
            return [await _refusal(inference, row) for _ in range(20)]
        finally:
            await asyncio.to_thread(second.kill)

    refusals = scene(first, bundle, act)
    assert all(refusals)
    assert "another model" in refusals[-1]


async def _refusal(inference, row):
    await asyncio.sleep(0.1)
    try:
        await inference.embed_square(row)
    except Refused as refused:
        return refused.detail
    return ""


def test_a_hung_server_is_given_up_after_the_time_for_a_batch(server, small_exports):
    row = small_squares(1)[0]

    async def act(inference):
        await inference.embed_square(row)
        os.killpg(server.process.pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            with pytest.raises(Refused, match="inference_failed"):
                await inference.embed_square(row)
        finally:
            os.killpg(server.process.pid, signal.SIGCONT)
        return time.monotonic() - started, await _answer(inference, row)

    seconds, (vector, _) = scene(server, small_exports["fp32"], act, triton_timeout_s=0.7)
    assert 0.5 < seconds < 3
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        ("StatusCode.UNAVAILABLE", "failed to connect", "inference_failed"),
        ("StatusCode.DEADLINE_EXCEEDED", "", "inference_failed"),
        ("StatusCode.NOT_FOUND", "Request for unknown model", "inference_failed"),
        ("StatusCode.RESOURCE_EXHAUSTED", "", "overloaded"),
        ("StatusCode.UNAVAILABLE", "Exceeds maximum queue size", "overloaded"),
        ("StatusCode.INTERNAL", "indices element out of data bounds", None),
        ("StatusCode.INVALID_ARGUMENT", "", None),
    ],
)
def test_what_a_grpc_failure_means(status, message, code):
    found = refusal(status, message)
    assert (found and found.code) == code


def test_names_tell_bundles_apart(small_exports):
    serving = Serving.read(small_exports["fp32"])
    names = [model.name for digest in ("a" * 64, "b" * 64) for model in models_of(digest, serving)]
    assert len(set(names)) == 4
