"""A process that appends to the event log and says what was acknowledged, until it is killed: from outside, or by itself at a moment.

python -m tests.serve.log_child FOLDER ROUND MOMENT
"""

import asyncio
import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

from components.objects import FolderStore
from components.serve.log import outbox
from components.serve.log.event_log import EventLog
from tests.serve.log_shop import click, knobs, prediction

CALLERS = 16


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """A folder store that kills its process before or after the nth put."""

    def __init__(self, root, moment, nth):
        self.real, self.moment, self.nth, self.num_puts = FolderStore(root), moment, nth, 0

    def __getattr__(self, name):
        return getattr(self.real, name)

    def put(self, key, data):
        self.num_puts += 1
        if (self.moment, self.num_puts) == ("before put", self.nth):
            die()
        if (self.moment, self.num_puts) == ("while put", self.nth):
            half = self.real.root / Path(key).parent / ".partial-half"
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(data[: len(data) // 2])
            die()
        self.real.put(key, data)
        if (self.moment, self.num_puts) == ("after put", self.nth):
            die()


def dies_while_deleting(nth):
    """Has the nth removal of sent rows kill the process, the rows before it being gone."""
    calls, delete = itertools.count(1), outbox.Outbox._delete

    def deadly(self, *span):
        if next(calls) == nth:
            die()
        return delete(self, *span)

    outbox.DELETED_AT_ONCE = 20
    outbox.Outbox._delete = deadly


async def main(folder, number, moment):
    rng = random.Random(f"{number} {moment}")
    if moment == "while deleting":
        dies_while_deleting(rng.randint(3, 9))
    store = Deadly(folder / "store", moment, rng.randint(1, 4))
    cfg = knobs(flush_mib=0.02, flush_s=0.3)
    log = await EventLog.open(folder / "state", store, cfg, clock=time.time)

    async def caller(who):
        for n in itertools.count():
            names = [f"{number}-{who}-{n}-{k}" for k in range(rng.randint(1, 4))]
            again = [f"{number}-{who}-{rng.randrange(n + 1)}-0"] if rng.random() < 0.2 else []
            await log.append([click(name) for name in [*names, *again]])
            os.write(1, "".join(f"c-{name}\n" for name in names).encode())
            if rng.random() < 0.1 and (await log.offer(prediction(f"{number}-{who}-{n}"))).accepted:
                os.write(1, f"r-{number}-{who}-{n}\n".encode())
            await asyncio.sleep(rng.random() * 0.01)

    await asyncio.gather(*(caller(who) for who in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
