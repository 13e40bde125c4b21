import asyncio
import json
import logging

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from components.errors import BadBundle
from components.images import normalise
from components.manifest import write_manifest
from components.serve.inference.graph import one_row_at_a_time
from components.serve.inference.open import open_inference
from components.serve.problems import Refused
from components.towers import IMAGE_GRAPH, SERVING, TEXT_GRAPH, TOKENIZER, Towers
from tests.serve.exported_bundle import small_squares
from tests.serve.small_towers import DIM, WHITE, config, squares, write_towers

NUM_CALLERS = 64


@pytest.fixture(params=["fp32", "int8"])
def exported(request, small_exports):
    return small_exports[request.param]


def scene(folder, act, state, **changes):
    """What `act` makes of the opened inference, which is closed afterwards."""

    async def play():
        inference = await open_inference(config(**changes), folder, state)
        try:
            return await act(inference)
        finally:
            await inference.close()

    return asyncio.run(play())


async def _each(inference, rows):
    return await asyncio.gather(*(inference.embed_square(row) for row in rows), return_exceptions=True)


def test_a_pictures_answer_is_the_same_bit_for_bit_alone_and_in_every_batch(exported, tmp_path):
    rows = list(small_squares(17))

    async def alone(inference):
        return [await inference.embed_square(row) for row in rows]

    expected = scene(exported, alone, tmp_path)
    for max_rows in range(2, 9):
        found = scene(exported, lambda inference: _each(inference, rows), tmp_path, max_rows=max_rows)
        for (vector, score), (wanted, wanted_score) in zip(found, expected, strict=True):
            assert vector.tobytes() == wanted.tobytes()
            assert score == wanted_score


def test_answers_are_those_of_the_towers_and_of_the_calibrator(exported, tmp_path):
    rows = small_squares(6)
    towers = Towers.open(exported, threads=1)
    titles = ["red mug", "赤いマグ", "blue\n shoe"]

    async def ask(inference):
        return await _each(inference, rows), await inference.embed_texts(titles)

    found, texts = scene(exported, ask, tmp_path)
    vectors, scores = towers.embed_pixels(normalise(rows))
    assert np.array_equal(np.stack([vector for vector, _ in found]), vectors)
    assert [score for _, score in found] == [float(score) for score in scores]
    assert np.array_equal(texts, towers.embed_titles(titles))


def test_a_texts_answer_is_the_same_bit_for_bit_alone_and_beside_others(exported, tmp_path):
    titles = ["red mug", "blue mug", "赤いマグ", "shoe", "red shoe"]

    async def ask(inference):
        alone = [(await inference.embed_texts([title]))[0] for title in titles]
        return np.stack(alone), await inference.embed_texts(titles)

    alone, together = scene(exported, ask, tmp_path)
    assert alone.tobytes() == together.tobytes()


def test_many_callers_are_answered_in_batches(exported, tmp_path):
    async def ask(inference):
        found = await _each(inference, small_squares(NUM_CALLERS))
        return found, inference.status().pictures

    found, status = scene(exported, ask, tmp_path)
    assert len(found) == NUM_CALLERS
    assert status.num_rows == NUM_CALLERS
    assert status.num_batches < NUM_CALLERS
    assert status.row_s > 0


@pytest.mark.parametrize("poison", ["raises", "nan", "long"])
def test_a_poisonous_picture_is_told_alone_and_its_batch_mates_get_their_own_answers(tmp_path, poison):
    folder = write_towers(tmp_path / "bundle", poison=poison)
    rows = squares(7)

    async def ask(inference):
        clean = [await inference.embed_square(row) for row in rows]
        return clean, await _each(inference, [*rows[:3], WHITE, *rows[3:]])

    clean, found = scene(folder, ask, tmp_path)
    assert [refused.code for refused in found if isinstance(refused, Refused)] == ["picture_poisonous"]
    (poisoned,) = (place for place, answer in enumerate(found) if isinstance(answer, Refused))
    assert poisoned == 3
    for (vector, score), (wanted, wanted_score) in zip([*found[:3], *found[4:]], clean, strict=True):
        assert np.array_equal(vector, wanted)
        assert score == wanted_score


def test_a_batch_of_poison_alone_is_told_and_the_model_goes_on(tmp_path):
    folder = write_towers(tmp_path / "bundle", poison="raises")

    async def ask(inference):
        return await _each(inference, [WHITE] * 5), await inference.embed_square(squares(1)[0])

    found, (vector, _) = scene(folder, ask, tmp_path)
    assert [refused.code for refused in found] == ["picture_poisonous"] * 5
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", ["poison", "red \ud800"])
def test_a_poisonous_text_is_told_with_its_place_and_others_are_answered(tmp_path, text):
    folder = write_towers(tmp_path / "bundle")

    async def ask(inference):
        good = asyncio.ensure_future(inference.embed_texts(["red mug", "blue"]))
        with pytest.raises(Refused, match="text 1") as refused:
            await inference.embed_texts(["red", text, "shoe"])
        return refused.value.code, await good

    code, vectors = scene(folder, ask, tmp_path)
    assert code == "invalid"
    assert vectors.shape == (2, DIM)


def test_no_texts_get_no_vectors(tmp_path):
    folder = write_towers(tmp_path / "bundle")
    assert scene(folder, lambda inference: inference.embed_texts([]), tmp_path).shape == (0, DIM)


def test_a_square_of_another_size_is_refused_before_it_is_queued(tmp_path):
    folder = write_towers(tmp_path / "bundle")

    async def ask(inference):
        wrong = [np.zeros((8, 8, 3), np.uint8), np.zeros((32, 32, 3), np.float32), np.zeros((32, 32), np.uint8)]
        return await _each(inference, [*wrong, squares(1)[0]])

    *refused, (vector, _) = scene(folder, ask, tmp_path)
    assert [error.code for error in refused] == ["internal"] * 3
    assert vector.shape == (DIM,)


def test_a_full_queue_refuses_and_the_others_are_answered(tmp_path):
    folder = write_towers(tmp_path / "bundle")
    found = scene(folder, lambda inference: _each(inference, squares(40)), tmp_path, max_rows=1, max_queued_rows=8)
    refused = [answer for answer in found if isinstance(answer, Refused)]
    assert 0 < len(refused) < 40
    assert {error.code for error in refused} == {"overloaded"}
    assert all(error.retry_after_s > 0 for error in refused)


def test_a_closed_inference_refuses(tmp_path):
    folder = write_towers(tmp_path / "bundle")

    async def play():
        inference = await open_inference(config(), folder, tmp_path)
        asked = [asyncio.create_task(inference.embed_square(row)) for row in squares(5)]
        await asyncio.sleep(0)
        await inference.close()
        assert all(task.done() for task in asked)
        with pytest.raises(Refused, match="inference_failed"):
            await inference.embed_square(squares(1)[0])
        return await asyncio.gather(*asked)

    assert len(asyncio.run(play())) == 5


def test_two_bundles_share_the_cores_and_keep_their_own_answers(tmp_path):
    folders = [write_towers(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    rows = squares(20)

    async def play():
        both = [await open_inference(config(), folder, tmp_path) for folder in folders]
        answers = await asyncio.gather(*(_each(inference, rows) for inference in both))
        for inference in both:
            await inference.close()
        return answers

    for folder, found in zip(folders, asyncio.run(play()), strict=True):
        expected = scene(folder, lambda inference: _each(inference, rows), tmp_path)
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(found, expected, strict=True))


def test_the_event_loop_answers_while_a_batch_runs(exported, tmp_path):
    async def ask(inference):
        running = asyncio.ensure_future(_each(inference, rows))
        ticks = 0
        while not running.done():
            await asyncio.sleep(0.0005)
            ticks += 1
        return ticks

    rows = np.repeat(small_squares(1), 1024, axis=0)  # one batch of them all, long enough for many ticks on any machine
    bounds = {"max_rows": len(rows), "max_pixels": rows.size, "max_queued_rows": len(rows)}
    assert scene(exported, ask, tmp_path, **bounds) > 10


def test_settings_are_measured_on_start_logged_in_one_line_and_remembered(tmp_path, caplog):
    folder = write_towers(tmp_path / "bundle")

    async def status(inference):
        return inference.status()

    with caplog.at_level(logging.INFO, logger="vitrine"):
        first = scene(folder, status, tmp_path / "state", threads=0, measure_s=1.0)
    assert first.pictures_per_s
    assert first.setting in first.pictures_per_s
    assert sum("pictures/s" in record.message for record in caplog.records) == 1
    again = scene(folder, status, tmp_path / "state", threads=0, measure_s=1.0)
    assert again.pictures_per_s == first.pictures_per_s
    pinned = scene(folder, status, tmp_path / "state", threads=1)
    assert pinned.pictures_per_s == {}
    assert pinned.setting.startswith("1 threads")


def test_int8_scales_found_at_run_time_are_recognised_and_run_a_row_at_a_time(exported, tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if b"QuantizeLinear" in (exported / IMAGE_GRAPH).read_bytes():
        assert not one_row_at_a_time(exported / IMAGE_GRAPH), "static int8 is batched"
        return
    assert not one_row_at_a_time(folder / IMAGE_GRAPH)
    graph = onnx.load(exported / IMAGE_GRAPH)
    del graph.graph.value_info[:]  # the quantiser stumbles over the shapes of what it turns
    quantize_dynamic(graph, folder / IMAGE_GRAPH, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    assert one_row_at_a_time(folder / IMAGE_GRAPH)

    async def ask(inference):
        await _each(inference, small_squares(6))
        return inference.status().pictures

    status = scene(folder, ask, tmp_path)
    assert status.num_batches == status.num_rows == 6


@pytest.mark.parametrize("name", [IMAGE_GRAPH, TEXT_GRAPH])
@pytest.mark.parametrize("threads", [0, 1])
def test_a_graph_that_is_none_is_a_bad_bundle(tmp_path, name, threads):
    folder = write_towers(tmp_path / "bundle")
    (folder / name).write_bytes(b"no graph")
    with pytest.raises(BadBundle, match=name):
        scene(folder, None, tmp_path, threads=threads, measure_s=0.2)


def test_a_model_that_fails_on_a_plain_picture_is_a_bad_bundle(tmp_path):
    folder = write_towers(tmp_path / "bundle", dim=DIM + 1)
    with pytest.raises(BadBundle, match="plain picture"):
        scene(folder, None, tmp_path)


def test_a_bundle_without_towers_is_named(tmp_path):
    folder = write_towers(tmp_path / "bundle")
    (folder / TOKENIZER).unlink()
    write_manifest(folder, json.loads((folder / SERVING).read_text()))
    with pytest.raises(BadBundle, match=TOKENIZER):
        scene(folder, None, tmp_path)
