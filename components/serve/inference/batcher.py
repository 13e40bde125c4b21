"""Rows of many requests, answered in batches: first come, first served, never more in the queue than its bounds."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from itertools import count, islice
from typing import Generic

from components.serve.inference.backend import QueueStatus
from components.serve.inference.batching import Limits, admits, is_full, num_in_batch, retry_after_s, start_at
from components.serve.inference.bisect import Answer, Bisect, Poisonous, Row, Run
from components.serve.problems import Refused

log = logging.getLogger("vitrine")

NEWEST_SHARE = 0.2  # of the running mean of a row's time

Slot = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Row, Answer]):
    row: Row
    pixels: int
    since: float
    answer: "asyncio.Future[Answer | Poisonous]"


class Batcher(Generic[Row, Answer]):
    """One model's queue. At most `at_once` batches run; each is put together when it holds a `slot`, so that latecomers still join."""

    def __init__(
        self,
        run: Run[Row, Answer],
        sound: Row,
        limits: Limits,
        *,
        at_once: int = 1,
        slot: Slot = nullcontext,  # type: ignore[assignment]
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bisect, self.limits, self.at_once, self._slot, self._clock = Bisect(run, sound), limits, at_once, slot, clock
        self._waiting: dict[int, _Waiting[Row, Answer]] = {}
        self._numbers, self._pixels = count(), 0
        self._running: set[asyncio.Task[None]] = set()
        self._idle_since, self._closed = -float("inf"), False
        self._timer: asyncio.TimerHandle | None = None
        self._batches = self._rows = self._poisonous = self._refused = self._cancelled = 0
        self._row_s: float | None = None
        self._done = asyncio.Event()

    async def ask(self, rows: Sequence[Row], pixels: int = 0) -> list[Answer | Poisonous]:
        """An answer, or POISONOUS, for each row, in order. `pixels` is of each row. A caller that gives up takes its rows out of the queue.

        Raises Refused overloaded where the queue is full: all rows are taken in or none. Raises Refused inference_failed where the model
        is broken, or is being closed.
        """
        if self._closed:
            raise Refused("inference_failed", "the model is being closed", retry_after_s=1)
        if not admits(len(self._waiting), self._pixels, len(rows), pixels * len(rows), self.limits):
            self._refused += len(rows)
            wait_s = retry_after_s(len(self._waiting), self._row_s)
            raise Refused("overloaded", f"{len(self._waiting)} rows wait for the model already", retry_after_s=wait_s)
        mine = [self._enter(row, pixels) for row in rows]
        answers = [self._waiting[number].answer for number in mine]
        self._pump()
        try:
            return await asyncio.gather(*answers)
        finally:
            for number in mine:
                self._leave(number)

    def _enter(self, row: Row, pixels: int) -> int:
        number = next(self._numbers)
        self._waiting[number] = _Waiting(row, pixels, self._clock(), asyncio.get_running_loop().create_future())
        self._pixels += pixels
        return number

    def _leave(self, number: int) -> None:
        """Takes a row that nobody waits for any more out of the queue, if it is still there."""
        if gone := self._waiting.pop(number, None):
            self._pixels -= gone.pixels
            self._cancelled += 1
            gone.answer.cancel()
            self._settle()

    def _pump(self) -> None:
        """Starts every batch that is due, and has itself called when the next one is."""
        if self._timer:
            self._timer.cancel()
        if not self._waiting or len(self._running) >= self.at_once:
            return
        oldest = next(iter(self._waiting.values()))
        due = start_at(oldest.since, self._idle_since, is_full(self._front(), self.limits), self.limits)
        loop = asyncio.get_running_loop()
        if (wait_s := due - self._clock()) > 0:
            self._timer = loop.call_later(wait_s, self._pump)
            return
        task = loop.create_task(self._serve())
        self._running.add(task)
        task.add_done_callback(self._served)

    def _front(self) -> list[int]:
        return [waiting.pixels for waiting in islice(self._waiting.values(), self.limits.max_rows + 1)]

    def _served(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("inference: a batch was lost", exc_info=error)
        self._idle_since = self._clock()
        self._pump()
        self._settle()

    def _settle(self) -> None:
        if not self._waiting and not self._running:
            self._done.set()

    async def _serve(self) -> None:
        async with self._slot():
            batch = self._take()
            self._pump()
            if not batch:
                return
            started = self._clock()
            try:
                for row, answer in zip(batch, await self._bisect([waiting.row for waiting in batch]), strict=True):
                    self._answer(row, answer)
            except Exception as error:
                refused = error if isinstance(error, Refused) else Refused("inference_failed", "the model could not be asked")
                _refuse(batch, refused)
                if refused is not error:
                    raise
            finally:
                self._note(len(batch), self._clock() - started)

    def _take(self) -> list[_Waiting[Row, Answer]]:
        """The next batch, out of the queue."""
        numbers = list(islice(self._waiting, num_in_batch(self._front(), self.limits)))
        batch = [self._waiting.pop(number) for number in numbers]
        self._pixels -= sum(waiting.pixels for waiting in batch)
        return batch

    def _answer(self, waiting: _Waiting[Row, Answer], answer: Answer | Poisonous) -> None:
        self._poisonous += isinstance(answer, Poisonous)
        if not waiting.answer.done():
            waiting.answer.set_result(answer)

    def _note(self, num_rows: int, seconds: float) -> None:
        self._batches, self._rows = self._batches + 1, self._rows + num_rows
        row_s = seconds / num_rows / self.at_once
        self._row_s = row_s if self._row_s is None else (1 - NEWEST_SHARE) * self._row_s + NEWEST_SHARE * row_s

    def status(self) -> QueueStatus:
        """What waits and what was done."""
        return QueueStatus(
            queued_rows=len(self._waiting),
            queued_pixels=self._pixels,
            num_batches=self._batches,
            num_rows=self._rows,
            num_poisonous=self._poisonous,
            num_refused=self._refused,
            num_cancelled=self._cancelled,
            row_s=self._row_s,
        )

    async def close(self) -> None:
        """Takes nothing in any more, and returns when everything that was is answered."""
        self._closed = True
        while self._waiting or self._running:
            self._done.clear()
            await self._done.wait()


def _refuse(batch: Sequence[_Waiting[Row, Answer]], refused: Refused) -> None:
    """A refusal of its own for each row: one exception raised in several requests would gather all their tracebacks."""
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(Refused(refused.code, refused.detail, retry_after_s=refused.retry_after_s))
