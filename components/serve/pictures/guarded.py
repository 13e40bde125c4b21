"""One worker process seen from the gateway: started, given a picture at a time, killed when it hangs. Linux only."""

import asyncio
import fcntl
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from components.errors import BadPicture, VitrineError
from components.images import MAX_PICTURE_BYTES
from components.serve.pictures import worker

COMMAND = (sys.executable, "-P", "-s", "-m", worker.__name__)
START_TIMEOUT_S = 60.0
COPIED_AT_ONCE = 2**20  # bytes, so that the event loop is never held for more than a fraction of a millisecond
KEPT_ROOM = 2**20  # what a large picture took of the shared memory beyond this is given back
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL  # a worker that cut the memory short would crash the gateway
HUNG, GONE = "hung", "gone before it was asked"


class Lost(Exception):
    """The worker gave no answer: `cause` is HUNG, GONE, memory, a signal, or what it stumbled over. The worker is of no more use."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class Decoded:
    """A picture: width and height upright in px, a read-only uint8 (side, side, 3) square by side, schema.STATS where they were wanted."""

    width: int
    height: int
    squares: Mapping[int, np.ndarray]
    stats: Mapping[str, float] | None


class Answer(BaseModel):
    """A worker's message, which is not trusted."""

    model_config = ConfigDict(strict=True, extra="forbid")
    width: int = 0
    height: int = 0
    stats: dict[str, float] | None = None
    reason: str | None = None
    detail: str = ""
    lost: str | None = None


@dataclass(frozen=True)
class Asked:
    """What is wanted of a picture. `cpu_s` is the kernel's limit."""

    sides_px: tuple[int, ...]
    want_stats: bool
    max_pixels: int
    cpu_s: float


@dataclass(eq=False)
class Guarded:
    """A worker process. One picture at a time."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    room: mmap.mmap
    num_done: int = 0

    @classmethod
    async def start(cls, *, memory_mib: int, command: Sequence[str], starter: Executor) -> "Guarded":
        """A worker that is ready for pictures. Raises VitrineError where it does not come up.

        `starter` has one thread that outlives the worker: the kernel kills a worker when the *thread* that started it ends.
        """
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here.setblocking(False)
        memory = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, MAX_PICTURE_BYTES)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
        room = mmap.mmap(memory, MAX_PICTURE_BYTES)
        words = [*command, *map(str, (there.fileno(), memory, MAX_PICTURE_BYTES, memory_mib))]
        loop = asyncio.get_running_loop()
        try:
            process = await loop.run_in_executor(starter, lambda: _started(words, (there.fileno(), memory)))
        finally:
            there.close()
            os.close(memory)
        started = cls(process, here, room)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                ready = await loop.sock_recv(here, worker.MAX_MESSAGE)
        except (TimeoutError, OSError):
            ready = b""
        except BaseException:
            process.kill()
            raise
        if ready != worker.READY:
            await started.end(starter)
            raise VitrineError(f"a worker that decodes pictures did not start (ended with {process.returncode}); its error is above")
        return started

    async def decode(self, data: bytes, asked: Asked, wall_s: float) -> Decoded:
        """The picture. Raises BadPicture, and Lost where there is no answer in time or ever."""
        await self._hand_over(data)
        message = {"num_bytes": len(data), **vars(asked)}
        try:
            self.channel.send(json.dumps(message).encode())
        except OSError:
            raise Lost(GONE) from None
        try:
            async with asyncio.timeout(wall_s):
                raw = await asyncio.get_running_loop().sock_recv(self.channel, worker.MAX_MESSAGE)
        except TimeoutError:
            raise Lost(HUNG) from None
        except OSError:
            raw = b""
        if not raw:
            raise Lost(await asyncio.to_thread(self._cause_of_death))
        self.num_done += 1
        return self._read(raw, asked.sides_px, len(data))

    async def _hand_over(self, data: bytes) -> None:
        for start in range(0, len(data), COPIED_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            piece = data[start : start + COPIED_AT_ONCE]
            self.room[start : start + len(piece)] = piece

    def _read(self, raw: bytes, sides_px: Sequence[int], num_bytes: int) -> Decoded:
        try:
            answer = Answer.model_validate_json(raw)
        except ValidationError:
            raise Lost("an answer that cannot be read") from None
        if answer.lost is not None:
            raise Lost(answer.lost)
        if answer.reason is not None:
            raise BadPicture(answer.reason, answer.detail)
        squares, start = {}, 0
        for side in sides_px:
            end = start + side * side * 3
            squares[side] = np.frombuffer(self.room[start:end], np.uint8).reshape(side, side, 3)
            start = end
        if max(num_bytes, start) > KEPT_ROOM:
            self.room.madvise(mmap.MADV_REMOVE, KEPT_ROOM)
        return Decoded(answer.width, answer.height, squares, answer.stats)

    def _cause_of_death(self) -> str:
        """Why the process ended; it has closed its socket, so it is about to be gone."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return HUNG
        if code == -signal.SIGXCPU:
            return HUNG
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    async def end(self, starter: Executor) -> None:
        """Kills the process; it keeps nothing that could be lost."""
        self.channel.close()
        self.process.kill()
        await asyncio.get_running_loop().run_in_executor(starter, self.process.wait)
        self.room.close()


def _started(words: Sequence[str], files: Sequence[int]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words,
        pass_fds=files,
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal ends the gateway, which ends its workers in order
    )


def environment() -> dict[str, str]:
    """All that a worker is told: where the gateway's modules are, and to compute in one thread. No key, token or URL."""
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)
    told = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8"}
    return told | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
