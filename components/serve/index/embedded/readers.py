"""Threads for reads that take too long for the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from components.serve.problems import Refused

NUM_THREADS = 2
RETRY_S = 1.0

T = TypeVar("T")


class Readers:
    """A few threads, and a bound on how many reads wait for them."""

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self.num_waiting = 0
        self._pool = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="index-reads")

    async def run(self, read: Callable[[], T]) -> T:
        """What read() returns. Raises Refused overloaded."""
        if self.num_waiting >= self.max_waiting:
            raise Refused("overloaded", f"{self.num_waiting} dear searches wait already", retry_after_s=RETRY_S)
        self.num_waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, read)
        future.add_done_callback(self._ended)  # and not when the caller gives up: the thread is busy until then
        return await future

    def _ended(self, _: object) -> None:
        self.num_waiting -= 1

    def close(self) -> None:
        """Ends the threads after what they do now."""
        self._pool.shutdown(cancel_futures=True)
