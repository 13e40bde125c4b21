"""The bounded queue of pictures to decode, and moments of quiet in which only one of them is."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from components.serve.pictures.guarded import Decoded
from components.serve.problems import Refused

SMOOTHING = 0.05  # of the mean time a picture takes, from which Retry-After is told


@dataclass(eq=False)
class Job:
    """A picture that waits for its answer."""

    data: bytes
    sides_px: tuple[int, ...]
    want_stats: bool
    answer: asyncio.Future[Decoded]

    def settle(self, outcome: Decoded | Refused) -> None:
        """Hands the outcome over, where somebody still waits for it."""
        if self.answer.done():
            return
        if isinstance(outcome, Refused):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Waiting:
    """Jobs, oldest first, at most `max_jobs` and `max_bytes` of them; a single job is taken in whatever its size."""

    def __init__(self, *, max_jobs: int, max_bytes: int, num_takers: int) -> None:
        self._max_jobs, self._max_bytes, self._num_takers = max_jobs, max_bytes, num_takers
        self._jobs: dict[Job, None] = {}
        self._num_bytes = 0
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._quiet, self._num_busy = False, 0
        self._mean_s = 0.01

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Takes the job in. Raises Refused overloaded where there is no room."""
        if len(self._jobs) >= self._max_jobs or (self._jobs and self._num_bytes + len(job.data) > self._max_bytes):
            wait_s = max(1.0, math.ceil(len(self._jobs) * self._mean_s / self._num_takers))
            raise Refused("overloaded", f"{len(self._jobs)} pictures wait to be decoded", retry_after_s=wait_s)
        self._jobs[job] = None
        self._num_bytes += len(job.data)
        self._wake.set()

    def leave(self, job: Job) -> None:
        """Takes the job out, where it still waits."""
        if job in self._jobs:
            del self._jobs[job]
            self._num_bytes -= len(job.data)

    async def take(self) -> Job:
        """The oldest job, once there is one and no moment of quiet. The taker calls done() when it is through with it."""
        while self._quiet or not self._jobs:
            self._wake.clear()
            await self._wake.wait()
        job = next(iter(self._jobs))
        self.leave(job)
        self._num_busy += 1
        return job

    def done(self, took_s: float) -> None:
        """The taker of a job is through with it."""
        self._num_busy -= 1
        self._mean_s += SMOOTHING * (took_s - self._mean_s)
        self._idle.set()

    @asynccontextmanager
    async def quiet(self, at_most_s: float) -> AsyncIterator[None]:
        """A block that begins once no job is being worked on; for its first `at_most_s` none is taken."""
        self._quiet = True
        try:
            while self._num_busy:
                self._idle.clear()
                await self._idle.wait()
            end = asyncio.get_running_loop().call_later(at_most_s, self._end_quiet)
            try:
                yield
            finally:
                end.cancel()
        finally:
            self._end_quiet()

    def _end_quiet(self) -> None:
        self._quiet = False
        self._wake.set()

    def dismiss(self) -> None:
        """Refuses whatever still waits."""
        for job in self._jobs:
            job.settle(stopping())


def stopping() -> Refused:
    """What a job is told that is not answered because the gateway ends."""
    return Refused("not_ready", "the gateway is stopping")
