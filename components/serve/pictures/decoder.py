"""Pictures decoded in worker processes: a picture that breaks or stalls a worker costs that worker, and no other picture.

A picture that lost a worker is tried once more, alone, and only then condemned: in a fresh worker, with three times the wall clock but no
more CPU time, and for its first seconds with no other picture beside it, so that neither load nor memory that others hold is the cause.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from components.errors import BadPicture, VitrineError
from components.images import MAX_PICTURE_BYTES
from components.serve.pictures.config import PicturesConfig
from components.serve.pictures.guarded import COMMAND, GONE, HUNG, Asked, Decoded, Guarded, Lost
from components.serve.pictures.waiting import Job, Waiting, stopping
from components.serve.problems import Refused

MAX_SUSPECTS = 16
ALONE_FACTOR = 3  # times timeout_s of wall clock; of CPU time a suspect gets no more than any picture
QUIET_S = 2.0  # of a trial, in which other pictures wait
REST_FACTOR = 3  # times what a trial took: trials take at most a quarter of the time
START_AGAIN_S = 1.0

log = logging.getLogger("vitrine")

Condemn = Callable[[bytes, str], Awaitable[None]]


async def _kept_nowhere(data: bytes, cause: str) -> None:
    """What is done with a condemned picture where nobody asked to be told."""


class Decoder:
    """A pool of workers behind one bounded queue; open() makes one."""

    def __init__(self, cfg: PicturesConfig, condemn: Condemn, command: Sequence[str]) -> None:
        self._cfg, self._condemn, self._command = cfg, condemn, command
        self._starter = ThreadPoolExecutor(1, "pictures")
        self._waiting = Waiting(max_jobs=cfg.max_queued, max_bytes=cfg.max_queued_mib * 2**20, num_takers=cfg.workers)
        self._suspects: asyncio.Queue[Job] = asyncio.Queue(MAX_SUSPECTS)
        self._workers: set[Guarded] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._spare: asyncio.Task[Guarded] | None = None
        self._fetching = asyncio.Lock()
        self._counts: Counter[str] = Counter()
        self._closed = False

    @classmethod
    async def open(cls, cfg: PicturesConfig, *, condemn: Condemn = _kept_nowhere, command: Sequence[str] = COMMAND) -> "Decoder":
        """A decoder whose workers are all ready, and one more that stands by. Raises VitrineError where they do not start.

        `condemn` is awaited with the bytes and the cause before a condemned picture is answered.
        """
        decoder = cls(cfg, condemn, command)
        found = await asyncio.gather(*(decoder._start() for _ in range(cfg.workers + 1)), return_exceptions=True)
        workers = [one for one in found if isinstance(one, Guarded)]
        if failed := [one for one in found if isinstance(one, BaseException)]:
            await decoder.close()
            raise failed[0]
        decoder._spare = asyncio.create_task(_itself(workers.pop()))
        decoder._tasks = [asyncio.create_task(decoder._lane(worker)) for worker in workers]
        decoder._tasks.append(asyncio.create_task(decoder._trials()))
        return decoder

    async def decode(self, data: bytes, sides_px: Sequence[int], want_stats: bool) -> Decoded:
        """The picture in a square of each side, and its statistics where they are wanted.

        Raises Refused: a reason of docs/quarantine.md, picture_too_slow or picture_poisonous, overloaded where the queue is full.
        """
        if len(data) > MAX_PICTURE_BYTES or sum(3 * side * side for side in sides_px) > MAX_PICTURE_BYTES:
            raise Refused("picture_too_many_bytes", f"{len(data)} bytes for sides of {list(sides_px)} px, limit {MAX_PICTURE_BYTES}")
        if self._closed:
            raise stopping()
        job = Job(data, tuple(dict.fromkeys(sides_px)), want_stats, asyncio.get_running_loop().create_future())
        self._waiting.put(job)
        try:
            return await job.answer
        finally:
            self._waiting.leave(job)

    def figures(self) -> Mapping[str, int]:
        """Counts since the start (decoded, refused, lost, acquitted, condemned, recycled), and how many are `waiting` now."""
        names = ("decoded", "refused", "lost", "acquitted", "condemned", "recycled")
        return {name: self._counts[name] for name in names} | {"waiting": len(self._waiting) + self._suspects.qsize()}

    @property
    def pids(self) -> tuple[int, ...]:
        """The workers' process ids, the one that stands by among them."""
        return tuple(worker.process.pid for worker in self._workers)

    async def _lane(self, worker: Guarded) -> None:
        """Gives one worker after another pictures, for as long as the decoder is open."""
        while True:
            job = await self._waiting.take()
            began = time.monotonic()
            try:
                job.settle(await self._decoded(worker, job, self._cfg.timeout_s))
            except Lost as lost:
                self._counts["lost"] += 1
                self._suspect(job, lost)
            except asyncio.CancelledError:
                job.settle(stopping())
                raise
            finally:
                self._waiting.done(time.monotonic() - began)
            worker = await self._fit(worker)

    async def _decoded(self, worker: Guarded, job: Job, wall_s: float) -> Decoded | Refused:
        """The outcome, where the worker lived to tell it. Raises Lost."""
        asked = Asked(job.sides_px, job.want_stats, self._cfg.max_pixels, self._cfg.timeout_s)
        try:
            found: Decoded | Refused = await worker.decode(job.data, asked, wall_s)
        except BadPicture as fault:
            found = Refused(fault.reason, fault.detail)
        except Lost:
            await self._end(worker)
            raise
        except Exception:  # a fault of ours: the picture is not to blame, and the lane must go on
            log.exception("pictures: a worker could not be asked")
            await self._end(worker)
            found = Refused("internal", "the picture could not be decoded")
        self._counts["refused" if isinstance(found, Refused) else "decoded"] += 1
        return found

    async def _fit(self, worker: Guarded) -> Guarded:
        """The same worker, or the one that stood by where this one is gone or has done its share."""
        if worker in self._workers and worker.num_done < self._cfg.recycle_after:
            return worker
        fresh = await self._fresh()
        if worker in self._workers:
            self._counts["recycled"] += 1
            await self._end(worker)
        return fresh

    def _suspect(self, job: Job, lost: Lost) -> None:
        log.warning("pictures: a worker was lost (%s) on a picture of %d bytes; it is tried again alone", lost.cause, len(job.data))
        try:
            self._suspects.put_nowait(job)
        except asyncio.QueueFull:
            job.settle(_refusal(lost))

    async def _trials(self) -> None:
        """Tries suspects, one at a time."""
        while True:
            job = await self._suspects.get()
            began = time.monotonic()
            try:
                job.settle(await self._outcome_alone(job))
            except Exception:
                log.exception("pictures: a trial failed")
            finally:
                job.settle(stopping())
            await asyncio.sleep(REST_FACTOR * (time.monotonic() - began))

    async def _outcome_alone(self, job: Job) -> Decoded | Refused:
        worker = await self._fresh()
        try:
            async with self._waiting.quiet(QUIET_S):
                outcome = await self._decoded(worker, job, ALONE_FACTOR * self._cfg.timeout_s)
        except Lost as lost:
            if lost.cause == GONE:
                return await self._outcome_alone(job)
            self._counts["condemned"] += 1
            await self._condemn(job.data, lost.cause)
            return _refusal(lost)
        finally:
            await self._end(worker)
        self._counts["acquitted"] += 1
        return outcome

    async def _fresh(self) -> Guarded:
        """The worker that stood by; another one is started in its place."""
        async with self._fetching:
            assert self._spare is not None
            worker = await asyncio.shield(self._spare)
            self._spare = asyncio.create_task(self._started())
            return worker

    async def _started(self) -> Guarded:
        while True:
            try:
                return await self._start()
            except (VitrineError, OSError) as error:  # no process, file or memory to be had just now
                log.error("pictures: %s", error)
                await asyncio.sleep(START_AGAIN_S)

    async def _start(self) -> Guarded:
        worker = await Guarded.start(memory_mib=self._cfg.memory_mib, command=self._command, starter=self._starter)
        self._workers.add(worker)
        return worker

    async def _end(self, worker: Guarded) -> None:
        if worker in self._workers:
            self._workers.discard(worker)
            await worker.end(self._starter)

    async def close(self) -> None:
        """Ends the workers. Pictures that still wait are refused."""
        self._closed = True
        tasks = [*self._tasks, *([self._spare] if self._spare else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.dismiss()
        while not self._suspects.empty():
            self._suspects.get_nowait().settle(stopping())
        for worker in list(self._workers):
            await self._end(worker)
        self._starter.shutdown()


def _refusal(lost: Lost) -> Refused:
    if lost.cause == HUNG:
        return Refused("picture_too_slow", "the picture is not decoded within the time limit")
    return Refused("picture_poisonous", f"the picture broke what decodes it: {lost.cause}")


async def _itself(worker: Guarded) -> Guarded:
    return worker
