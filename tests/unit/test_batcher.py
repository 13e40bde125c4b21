import asyncio
import time

import pytest

from components.serve.inference.batcher import Batcher
from components.serve.inference.batching import Limits
from components.serve.inference.bisect import POISONOUS, Failed
from components.serve.problems import Refused


def limits(**changes) -> Limits:
    usual = {"max_rows": 4, "max_pixels": 10**9, "max_wait_s": 0.0, "max_queued_rows": 100, "max_queued_pixels": 10**9}
    return Limits(**usual | changes)


class Model:
    """Doubles numbers, a batch at a time, each time when told to; keeps what it was asked. Fails on `poison`."""

    def __init__(self, poison=()):
        self.batches, self.may_run, self.poison, self.at_once, self.most_at_once = [], asyncio.Event(), set(poison), 0, 0

    async def __call__(self, rows):
        self.batches.append(list(rows))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_run.wait()
        self.at_once -= 1
        if self.poison & set(rows):
            raise Failed("broken")
        return [2 * row for row in rows]


async def waited(ready, limit_s=5.0):
    ends = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < ends
        await asyncio.sleep(0.001)


def test_rows_that_come_while_a_batch_runs_go_together_in_order_of_arrival():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_rows=4))
        asked = [asyncio.create_task(batcher.ask([row])) for row in range(10)]
        await waited(lambda: model.batches)
        model.may_run.set()
        assert await asyncio.gather(*asked) == [[2 * row] for row in range(10)]
        assert [row for batch in model.batches for row in batch] == list(range(10))
        assert max(map(len, model.batches)) == 4
        assert len(model.batches) <= 4

    asyncio.run(scene())


def test_a_batch_holds_no_more_pixels_than_it_may():
    async def scene():
        model = Model()
        model.may_run.set()
        batcher = Batcher(model, 0, limits(max_rows=8, max_pixels=250))
        await asyncio.gather(*(batcher.ask([row], pixels=100) for row in range(6)))
        assert max(map(len, model.batches)) == 2

    asyncio.run(scene())


def test_an_idle_model_is_asked_at_once_however_long_company_might_be_waited_for():
    async def scene():
        model = Model()
        model.may_run.set()
        batcher = Batcher(model, 0, limits(max_wait_s=30.0))
        started = time.monotonic()
        assert await batcher.ask([1]) == [2]
        assert await batcher.ask([2]) == [4]
        assert time.monotonic() - started < 1.0

    asyncio.run(scene())


def test_a_row_that_came_while_the_model_was_busy_waits_for_company_until_its_time_is_up():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_wait_s=0.3))
        first = asyncio.create_task(batcher.ask([1]))
        await waited(lambda: model.batches)
        second = asyncio.create_task(batcher.ask([2]))
        await asyncio.sleep(0)
        model.may_run.set()
        await first
        third = asyncio.create_task(batcher.ask([3]))
        await asyncio.gather(second, third)
        assert model.batches == [[1], [2, 3]]

    asyncio.run(scene())


def test_a_full_queue_refuses_and_says_when_to_come_back_and_takes_all_rows_of_a_request_or_none():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_rows=1, max_queued_rows=3))
        running = asyncio.create_task(batcher.ask([0]))
        await waited(lambda: model.batches)
        waiting = asyncio.create_task(batcher.ask([1, 2]))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batcher.ask([3, 4])
        assert refused.value.code == "overloaded"
        assert refused.value.retry_after_s > 0
        assert batcher.status().queued_rows == 2
        assert batcher.status().num_refused == 2
        model.may_run.set()
        assert await running == [0]
        assert await waiting == [2, 4]
        assert await batcher.ask([3, 4]) == [6, 8], "what was refused passes once there is room"

    asyncio.run(scene())


def test_pixels_fill_the_queue_too():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_rows=1, max_queued_pixels=250))
        asked = [asyncio.create_task(batcher.ask([0], pixels=100))]
        await waited(lambda: model.batches)
        asked += [asyncio.create_task(batcher.ask([row], pixels=100)) for row in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="overloaded"):
            await batcher.ask([3], pixels=100)
        model.may_run.set()
        await asyncio.gather(*asked)
        assert batcher.status().queued_pixels == 0

    asyncio.run(scene())


def test_the_time_to_come_back_follows_the_measured_rate():
    async def scene():
        now = 0.0

        async def slow(rows):
            nonlocal now
            now += 2.0 * len(rows)
            return rows

        batcher = Batcher(slow, 0, limits(max_rows=1, max_queued_rows=5), clock=lambda: now)
        await batcher.ask([0])
        assert batcher.status().row_s == 2.0
        stuck = [asyncio.ensure_future(batcher.ask([row])) for row in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batcher.ask([9])
        assert refused.value.retry_after_s == 2.0 * batcher.limits.max_queued_rows
        await asyncio.gather(*stuck)

    asyncio.run(scene())


def test_a_caller_that_gives_up_leaves_the_queue_and_costs_nothing():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_rows=8))
        first = asyncio.create_task(batcher.ask([0]))
        await waited(lambda: model.batches)
        patient = asyncio.create_task(batcher.ask([1], pixels=7))
        gone = asyncio.create_task(batcher.ask([2, 3], pixels=7))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert batcher.status().queued_rows == 1
        assert batcher.status().queued_pixels == 7
        model.may_run.set()
        assert await asyncio.gather(first, patient) == [[0], [2]]
        assert model.batches == [[0], [1]]
        assert batcher.status().num_cancelled == 2

    asyncio.run(scene())


def test_a_caller_that_gives_up_while_its_batch_runs_disturbs_nobody():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits())
        one, two = (asyncio.create_task(batcher.ask([row])) for row in (1, 2))
        await waited(lambda: model.batches == [[1, 2]])
        one.cancel()
        model.may_run.set()
        assert await two == [4]

    asyncio.run(scene())


def test_a_poisonous_row_is_told_and_its_batch_mates_are_answered():
    async def scene():
        model = Model(poison={3})
        model.may_run.set()
        batcher = Batcher(model, 0, limits(max_rows=8))
        assert await batcher.ask([1, 2, 3, 4]) == [2, 4, POISONOUS, 8]
        assert batcher.status().num_poisonous == 1

    asyncio.run(scene())


def test_a_broken_model_refuses_every_row_with_an_error_of_its_own():
    async def scene():
        model = Model(poison={0, 1, 2})
        model.may_run.set()
        batcher = Batcher(model, 0, limits())
        found = await asyncio.gather(batcher.ask([1]), batcher.ask([2]), return_exceptions=True)
        assert [error.code for error in found] == ["inference_failed"] * 2
        assert found[0] is not found[1]

    asyncio.run(scene())


def test_an_error_that_nobody_foresaw_refuses_and_the_next_batch_runs():
    async def scene():
        fails = [True]

        async def run(rows):
            if fails.pop() if fails else False:
                raise RuntimeError("unforeseen")
            return rows

        batcher = Batcher(run, 0, limits())
        with pytest.raises(Refused, match="inference_failed"):
            await batcher.ask([1])
        assert await batcher.ask([1]) == [1]

    asyncio.run(scene())


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_batches_run_at_once_than_may(at_once):
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_rows=2), at_once=at_once)
        asked = [asyncio.create_task(batcher.ask([row])) for row in range(20)]
        await waited(lambda: len(model.batches) == at_once)
        await asyncio.sleep(0.02)
        assert model.at_once == at_once
        model.may_run.set()
        await asyncio.gather(*asked)
        assert model.most_at_once == at_once

    asyncio.run(scene())


def test_closing_answers_what_was_asked_and_takes_nothing_more():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_rows=1))
        asked = [asyncio.create_task(batcher.ask([row])) for row in range(4)]
        await waited(lambda: model.batches)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="inference_failed"):
            await batcher.ask([9])
        assert not closing.done()
        model.may_run.set()
        assert await asyncio.gather(*asked) == [[0], [2], [4], [6]]
        await asyncio.wait_for(closing, 1)

    asyncio.run(scene())


def test_closing_ends_though_the_last_caller_gave_up():
    async def scene():
        model = Model()
        batcher = Batcher(model, 0, limits(max_rows=8, max_wait_s=30.0))
        first = asyncio.create_task(batcher.ask([0]))
        await waited(lambda: model.batches)
        last = asyncio.create_task(batcher.ask([1]))
        await asyncio.sleep(0)
        model.may_run.set()
        await first
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        last.cancel()
        await asyncio.wait_for(closing, 1)

    asyncio.run(scene())
