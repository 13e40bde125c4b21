"""The shadow: some requests that the stable release answered are answered by the candidate too, after their answer has gone."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from components.release.channel import Step, draw
from components.serve.canary.answers import SHADOW, AnswerLog, Trial, compared
from components.serve.items import Hit
from components.serve.meters import Meters
from components.serve.served import Served

log = logging.getLogger("vitrine")

Search = Callable[[Served], Awaitable[Sequence[Hit]]]


@dataclass
class Shadows:
    """At most `max_at_once` are worked on, each for `timeout_s` at most; those that find no room are dropped and counted."""

    answers: AnswerLog
    meters: Meters
    max_at_once: int
    timeout_s: float
    working: set["asyncio.Task[None]"] = field(default_factory=set)

    def begin(self, trial: Trial, served: Served, stable: Sequence[Hit], search: Search) -> None:
        """Has the candidate answer what the stable release answered with those hits, beside whatever comes."""
        if len(self.working) >= self.max_at_once:
            self.meters.shadows.labels("dropped").inc()
            return
        task = asyncio.get_running_loop().create_task(self._answer(trial, served, stable, search))
        self.working.add(task)
        task.add_done_callback(self.working.discard)

    async def _answer(self, trial: Trial, served: Served, stable: Sequence[Hit], search: Search) -> None:
        began = time.perf_counter()
        try:
            with served.lease():
                async with asyncio.timeout(self.timeout_s):
                    hits = await search(served)
        except Exception as error:  # whatever a candidate does in its shadow is its own affair, and is written down
            seconds = time.perf_counter() - began
            status = 504 if isinstance(error, TimeoutError) else self.answers.status_of(error, seconds)
            self.answers.add(trial, SHADOW, served.release_id, status, seconds)
            self.meters.shadows.labels("failed" if status >= 500 else "refused").inc()
            return
        self.answers.add(trial, SHADOW, served.release_id, 200, time.perf_counter() - began, hits, **compared(stable, hits))
        self.meters.shadows.labels("done").inc()

    async def close(self) -> None:
        """Gives up what is worked on."""
        tasks = list(self.working)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_due(trial: Trial) -> bool:
    """Whether the request is of the share that is answered by both: the same at every replica, and for every repetition."""
    platform, candidate = trial.caller.platform, trial.candidate
    if platform is None or candidate.lanes[platform].step is not Step.SHADOW:
        return False
    return draw(trial.caller.request_id, candidate.release_id) < candidate.shadow_share
