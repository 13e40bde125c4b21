import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.inference.bisect import POISONOUS, Bisect, Failed, checked
from components.serve.problems import Refused

SOUND = -1


class Model:
    """Answers a number with its double; fails on any batch that holds one of `poison`, and on every batch from run `breaks_at` on."""

    def __init__(self, poison=(), breaks_at=10**9, fails_once=()):
        self.poison, self.breaks_at, self.fails_once, self.runs = set(poison), breaks_at, set(fails_once), []

    async def __call__(self, rows):
        self.runs.append(list(rows))
        once = self.fails_once & set(rows)
        self.fails_once -= once
        if once or self.poison & set(rows) or len(self.runs) > self.breaks_at:
            raise Failed("broken")
        return [2 * row for row in rows]


def answers(model, rows):
    return asyncio.run(Bisect(model, SOUND)(rows))


@given(st.integers(1, 33).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_poisonous_rows_stand_alone_and_all_others_are_answered(case):
    count, poison = case
    found = answers(Model(poison), list(range(count)))
    assert found == [POISONOUS if row in poison else 2 * row for row in range(count)]


@given(st.integers(1, 64), st.data())
def test_one_poisonous_row_costs_a_few_runs_and_not_one_a_row(count, data):
    model = Model({data.draw(st.integers(0, count - 1))})
    answers(model, list(range(count)))
    assert len(model.runs) <= 2 * np.ceil(np.log2(count)) + 3


def test_a_sound_batch_is_run_once():
    model = Model()
    assert answers(model, [1, 2, 3]) == [2, 4, 6]
    assert model.runs == [[1, 2, 3]]


def test_a_row_is_called_poisonous_only_while_a_sound_one_passes():
    model = Model(breaks_at=0)
    with pytest.raises(Refused) as refused:
        answers(model, [1, 2, 3, 4])
    assert refused.value.code == "inference_failed"
    assert model.runs[-1] == [SOUND], "nobody was blamed before a sound row was tried"


def test_a_model_that_breaks_half_way_blames_nobody():
    with pytest.raises(Refused, match="inference_failed"):
        answers(Model({3}, breaks_at=4), [1, 2, 3, 4])


def test_a_row_that_fails_once_and_passes_then_is_answered():
    assert answers(Model(fails_once={5}), [5]) == [10]


def test_what_is_not_the_batchs_fault_is_passed_on_and_nothing_is_halved():
    runs = []

    async def unreachable(rows):
        runs.append(rows)
        raise Refused("overloaded", "later")

    with pytest.raises(Refused, match="overloaded"):
        asyncio.run(Bisect(unreachable, SOUND)([1, 2, 3]))
    assert len(runs) == 1


UNIT = np.eye(3, 4, dtype=np.float32)


@pytest.mark.parametrize(
    ("vectors", "scores"),
    [
        (UNIT * np.float32(1.01), np.ones(3)),
        (UNIT * np.float32(0), np.ones(3)),
        (np.where(UNIT == 1, np.nan, UNIT), np.ones(3)),
        (np.where(UNIT == 1, np.inf, UNIT), np.ones(3)),
        (UNIT, np.array([0.5, np.nan, 0.5])),
        (UNIT, np.array([0.5, np.inf, 0.5])),
        (UNIT[:2], np.ones(3)),
        (UNIT[:, :3], np.ones(3)),
        (UNIT, np.ones(2)),
    ],
)
def test_what_is_no_answer_fails(vectors, scores):
    with pytest.raises(Failed):
        checked(vectors, scores, 3, 4)


def test_unit_vectors_with_finite_scores_are_answers():
    checked(UNIT, np.array([0.0, 0.5, 1.0]), 3, 4)
    checked(UNIT, None, 3, 4)
