"""The explanation of an Image Score: on scorers whose reasons are known, it names them."""

import asyncio
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.explain import explain, occluded, region_effects, share_below
from components.serve.problems import Refused

SIDE = 32


def make_square(seed: int = 0, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def dark_with_a_bright_spot(row: int, column: int) -> np.ndarray:
    square = np.full((SIDE, SIDE, 3), 20, np.uint8)
    square[row * 8 + 2 : row * 8 + 6, column * 8 + 2 : column * 8 + 6] = 250
    return square


async def brightest(square: np.ndarray) -> float:
    """A score that only a bright spot earns."""
    return float(square.max() / 255)


def effects(square, score_of=brightest, **grid):
    return asyncio.run(region_effects(square, score_of=score_of, **grid))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 3), (3, 2)])
def test_the_region_that_earns_the_score_is_found(row, column):
    whole, effect = effects(dark_with_a_bright_spot(row, column))
    assert whole == pytest.approx(250 / 255)
    assert effect[row, column] > 0.5
    others = np.delete(effect.ravel(), row * 4 + column)
    assert (others == 0).all()


def test_a_region_that_harms_has_a_negative_effect():
    async def calm(square: np.ndarray) -> float:
        return 1 - await brightest(square)

    _, effect = effects(dark_with_a_bright_spot(2, 1), calm)
    assert effect.argmin() == 2 * 4 + 1
    assert effect[2, 1] < -0.5


def test_the_same_photo_has_the_same_explanation():
    async def mean(square: np.ndarray) -> float:
        return float(square.mean() / 255)

    first, second = effects(make_square(), mean), effects(make_square(), mean)
    assert first[0] == second[0]
    assert (first[1] == second[1]).all()


def test_a_photo_of_one_colour_has_no_region_that_matters():
    _, effect = effects(np.full((SIDE, SIDE, 3), 90, np.uint8))
    assert (effect == 0).all()


@given(st.integers(4, 70), st.integers(1, 4), st.integers(1, 4))
def test_every_pixel_is_covered_once(side, rows, columns):
    square = make_square(1, side)
    square[0, 0] = 255 - np.rint(square.mean(axis=(0, 1))).astype(np.uint8)
    mean_colour = np.rint(square.mean(axis=(0, 1))).astype(np.uint8)
    covered = sum((copy != square).any(axis=2).astype(int) for copy in occluded(square, rows, columns))
    differs = (square != mean_colour).any(axis=2)
    assert (covered == differs).all()
    assert len(occluded(square, rows, columns)) == rows * columns


def test_the_photo_itself_is_left_as_it_was():
    square = make_square()
    before = square.copy()
    effects(square)
    assert (square == before).all()


def test_the_cost_is_seventeen_rows_asked_for_together():
    waiting, most = 0, 0

    async def score_of(square: np.ndarray) -> float:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0)
        waiting -= 1
        return 0.5

    effects(make_square(), score_of)
    assert most == 17


def test_one_refusal_is_passed_on_and_withdraws_the_rest():
    begun, ended = 0, 0

    async def score_of(square: np.ndarray) -> float:
        nonlocal begun, ended
        begun += 1
        if begun == 3:
            raise Refused("overloaded", "the queue is full", retry_after_s=1)
        await asyncio.sleep(0.05)
        ended += 1
        return 0.5

    async def ask() -> None:
        with pytest.raises(Refused, match="overloaded"):
            await region_effects(make_square(), score_of=score_of)
        await asyncio.sleep(0.1)

    asyncio.run(ask())
    assert ended == 0


def test_statistics_are_placed_among_the_catalogue():
    catalogue = {"brightness": np.linspace(0, 1, 101), "sharpness": np.array([1.0, 2.0, 3.0, 4.0])}
    stats = {"brightness": 0.25, "sharpness": 3.5, "contrast": 0.2}
    found = asyncio.run(explain(make_square(), stats, catalogue, score_of=brightest))
    assert found.stats["brightness"].percentile == pytest.approx(0.25, abs=0.01)
    assert found.stats["sharpness"].percentile == 0.75
    assert found.stats["contrast"].percentile is None
    assert found.stats["contrast"].value == 0.2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_value_never_has_a_lower_percentile(values, one, other):
    low, high = sorted((one, other))
    ordered = np.sort(np.array(values))
    assert 0 <= share_below(ordered, low) <= share_below(ordered, high) <= 1


def test_the_answer_is_json_with_the_grid_row_by_row():
    found = asyncio.run(explain(dark_with_a_bright_spot(0, 1), {"contrast": 0.1}, {}, score_of=brightest))
    body = json.loads(json.dumps(found.body()))
    assert (body["regions"]["rows"], body["regions"]["columns"]) == (4, 4)
    assert body["regions"]["effect"][0][1] > 0.5
    assert body["stats"] == {"contrast": {"value": 0.1, "percentile": None}}
