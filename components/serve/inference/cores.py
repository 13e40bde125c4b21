"""The processor's cores, shared by every model of this process: a rarely asked one gets its turn as soon as a busy one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from components.photos import num_cores


class Cores:
    """`count` cores, handed out in the order in which they were asked for."""

    def __init__(self, count: int) -> None:
        self.count = self.free = count
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, wanted: int) -> AsyncIterator[None]:
        """Holds `wanted` cores for the block, all of them where more are wanted than there are."""
        wanted = min(wanted, self.count)
        await self._take(wanted)
        try:
            yield
        finally:
            self._give(wanted)

    async def _take(self, wanted: int) -> None:
        if not self._waiting and wanted <= self.free:
            self.free -= wanted
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(wanted)  # its turn came in the same moment
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._give(0)  # whoever stood behind it may fit
            raise

    def _give(self, cores: int) -> None:
        self.free += cores
        while self._waiting and self._waiting[0][0] <= self.free:
            wanted, turn = self._waiting.popleft()
            if not turn.cancelled():
                self.free -= wanted
                turn.set_result(None)


OURS = Cores(num_cores())
