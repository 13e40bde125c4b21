"""The decoder's queue: in order, bounded, left by whoever goes away, and silent when one picture must be alone."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.pictures.waiting import Job, Waiting
from components.serve.problems import Refused


def job(num_bytes: int = 1) -> Job:
    return Job(bytes(num_bytes), (8,), False, asyncio.get_running_loop().create_future())


def waiting(max_jobs: int = 100, max_bytes: int = 1000) -> Waiting:
    return Waiting(max_jobs=max_jobs, max_bytes=max_bytes, num_takers=2)


@given(st.lists(st.one_of(st.integers(0, 40), st.sampled_from(["take", "leave"])), max_size=60), st.integers(1, 5), st.integers(1, 60))
def test_jobs_come_out_in_order_and_never_more_wait_than_allowed(actions, max_jobs, max_bytes):
    async def run():
        queue, model = waiting(max_jobs, max_bytes), []
        for action in actions:
            if action == "take":
                if model:
                    assert await queue.take() is model.pop(0)
            elif action == "leave":
                if model:
                    queue.leave(model.pop(len(model) // 2))
            else:
                fits = len(model) < max_jobs and (not model or sum(len(one.data) for one in model) + action <= max_bytes)
                new = job(action)
                try:
                    queue.put(new)
                    model.append(new)
                    assert fits
                except Refused as refused:
                    assert not fits
                    assert refused.retry_after_s >= 1  # noqa: PT017
            assert len(queue) == len(model)

    asyncio.run(run())


def test_retry_after_grows_with_what_waits_and_with_what_a_picture_takes():
    async def run():
        queue, told = waiting(max_jobs=50), []
        for _ in range(2):
            while len(queue) < 50:
                queue.put(job())
            with pytest.raises(Refused) as refused:
                queue.put(job())
            told.append(refused.value.retry_after_s)
            for _ in range(40):
                await queue.take()
                queue.done(4.0)
        return told

    first, second = asyncio.run(run())
    assert first == 1
    assert 50 < second <= 100


def test_quiet_begins_when_nobody_is_busy_and_lets_nobody_begin_for_a_while():
    async def run():
        queue, events = waiting(), []
        queue.put(job())
        await queue.take()

        async def quiet():
            async with queue.quiet(0.2):
                events.append("quiet")
                await asyncio.sleep(0.4)
            events.append("end")

        async def taker():
            await queue.take()
            events.append("taken")

        tasks = [asyncio.create_task(quiet())]
        await asyncio.sleep(0.05)
        queue.put(job())
        tasks.append(asyncio.create_task(taker()))
        await asyncio.sleep(0.05)
        assert events == []
        queue.done(0.1)
        await asyncio.gather(*tasks)
        return events

    assert asyncio.run(run()) == ["quiet", "taken", "end"]


def test_the_end_of_one_quiet_does_not_cut_the_next_one_short():
    async def run():
        queue = waiting()
        async with queue.quiet(0.2):
            await asyncio.sleep(0.1)
        async with queue.quiet(0.2):
            queue.put(job())
            taker = asyncio.create_task(queue.take())
            await asyncio.sleep(0.15)  # the first one's 0.2 s are over
            assert not taker.done()
        await taker

    asyncio.run(run())
