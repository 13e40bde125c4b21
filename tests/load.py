"""A load generator that is not the bottleneck: HTTP/1.1 over raw sockets that are kept alive, request bytes made beforehand.

Closed loop: as many requests in flight as there are connections; it measures capacity. Open loop: requests are due at times that do not
depend on the answers, and latency counts from when a request was due, so a server that stalls is charged for everybody who would have come
meanwhile (no coordinated omission: Tene, "How not to measure latency", 2013).
"""

import asyncio
import re
import selectors
import time
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSING = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
BODILESS = (204, 304)
LOST = 0  # the status of a request whose connection broke before the answer was whole

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it goes over the wire. `kind` is what it is counted under; `note` is for whoever judges the answer."""

    data: bytes
    kind: str = ""
    note: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `latency_s` counts from when the request was due; `sent_s` and `answered_s` are of time.perf_counter()."""

    status: int
    head: bytes
    body: bytes
    latency_s: float
    sent_s: float
    answered_s: float


Judge = Callable[[Ask, Answer], None]


@dataclass
class Tally:
    """What became of a run's requests, by kind and status. `unanswered` are those that were given up at its end."""

    seconds: float = 0.0
    latencies_s: "defaultdict[tuple[str, int], array[float]]" = field(default_factory=lambda: defaultdict(lambda: array("d")))
    unanswered: int = 0
    most_waiting: int = 0  # requests that were due while every connection was taken

    def add(self, kind: str, status: int, latency_s: float) -> None:
        """Takes note of an answer."""
        self.latencies_s[kind, status].append(latency_s)

    def statuses(self, kind: str | None = None) -> Counter[int]:
        """How many answers had each status."""
        found: Counter[int] = Counter()
        for (of, status), latencies in self.latencies_s.items():
            found[status] += len(latencies) if kind in (None, of) else 0
        return +found

    @property
    def per_s(self) -> float:
        """Answers with a status of 2xx, a second."""
        return sum(count for status, count in self.statuses().items() if 200 <= status < 300) / self.seconds

    def quantile_ms(self, share: float, kind: str | None = None) -> float:
        """The least latency that `share` of the answers with 2xx did not exceed, in ms; NaN where there are none."""
        chosen = [np.frombuffer(found) for (of, status), found in self.latencies_s.items() if kind in (None, of) and 200 <= status < 300]
        return 1000 * float(np.quantile(np.concatenate(chosen), share, method="inverted_cdf")) if chosen else float("nan")


class Line(asyncio.Protocol):
    """One connection with at most one request on it. `told` hears of each answer, and of the connection's end with None."""

    def __init__(self, told: "Callable[[Line, tuple[int, bytes, bytes] | None], None]") -> None:
        self._told = told
        self._read = b""
        self.asked: tuple[Ask, float, float] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, ask: Ask, due_s: float) -> None:
        """Puts the request on the wire."""
        assert self.transport is not None
        self.asked = (ask, due_s, time.perf_counter())
        self.transport.write(ask.data)

    def data_received(self, data: bytes) -> None:
        """Reads on until the answer is whole."""
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._read[:end]
        status, length = int(head[9:12]), LENGTH.search(head)
        size = 0 if status in BODILESS else int(length[1]) if length else -1
        if 0 <= size <= len(self._read) - end - 4:
            body, self._read = self._read[end + 4 : end + 4 + size], self._read[end + 4 + size :]
            self._told(self, (status, head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._told(self, None)


class Load:
    """Connections to one server. `judge` sees each answer with its request."""

    def __init__(self, host: str, port: int, num_connections: int, judge: Judge | None = None) -> None:
        self._host, self._port, self._num, self._judge = host, port, num_connections, judge
        self._idle: deque[Line] = deque()
        self._late: deque[tuple[Ask, float]] = deque()
        self._next: Callable[[], tuple[Ask, float] | None] = lambda: None
        self._opening: set[asyncio.Task[None]] = set()
        self._tally, self._in_flight, self._closed = Tally(), 0, False

    async def __aenter__(self) -> "Load":
        for _ in range(self._num):
            await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for line in self._idle:
            assert line.transport is not None
            line.transport.close()

    async def _open(self) -> None:
        while True:
            try:
                _, line = await asyncio.get_running_loop().create_connection(lambda: Line(self._heard), self._host, self._port)
            except OSError:
                await asyncio.sleep(0.05)  # the server is being started again
            else:
                self._feed(line)
                return

    def _feed(self, line: Line) -> None:
        if work := self._next():
            self._in_flight += 1
            line.send(*work)
        else:
            self._idle.append(line)

    def _heard(self, line: Line, answer: tuple[int, bytes, bytes] | None) -> None:
        asked, line.asked = line.asked, None
        if asked:
            self._in_flight -= 1
            self._note(asked, answer or (LOST, b"", b""))
        if answer and not CLOSING.search(answer[1]):
            self._feed(line)
        elif answer and line.transport:
            line.transport.close()
        elif not self._closed:
            if line in self._idle:
                self._idle.remove(line)
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _note(self, asked: tuple[Ask, float, float], answer: tuple[int, bytes, bytes]) -> None:
        (ask, due_s, sent_s), (status, head, body), now_s = asked, answer, time.perf_counter()
        self._tally.add(ask.kind, status, now_s - due_s)
        if self._judge:
            self._judge(ask, Answer(status, head, body, now_s - due_s, sent_s, now_s))

    async def closed_loop(self, asks: Iterator[Ask], seconds: float, patience_s: float = 60.0) -> Tally:
        """Each connection asks as soon as it was answered, for so long."""
        end_s = time.perf_counter() + seconds

        def work() -> tuple[Ask, float] | None:
            now_s = time.perf_counter()
            return (next(asks), now_s) if now_s < end_s else None

        return await self._run(work, self._sleep_until(end_s), patience_s)

    async def all_of(self, asks: Iterable[Ask]) -> Tally:
        """As closed_loop(), until each was answered."""
        left, waiting = iter(asks), [True]

        def work() -> tuple[Ask, float] | None:
            ask = next(left, None)
            waiting[0] = ask is not None
            return (ask, time.perf_counter()) if ask else None

        async def answered() -> None:
            while waiting[0] or self._in_flight:
                await asyncio.sleep(0.005)

        return await self._run(work, answered(), 0.0)

    async def open_loop(self, asks: Iterator[Ask], due_s: Iterable[float], patience_s: float = 60.0) -> Tally:
        """A request at each of the times, in seconds from now and rising; one that finds no connection free waits, and that counts."""
        self._late.clear()
        start_s = time.perf_counter()

        async def tick() -> None:
            for due in due_s:
                await self._sleep_until(start_s + due)
                self._late.append((next(asks), start_s + due))
                while self._late and self._idle:
                    self._feed(self._idle.popleft())
                self._tally.most_waiting = max(self._tally.most_waiting, len(self._late))

        return await self._run(lambda: self._late.popleft() if self._late else None, tick(), patience_s)

    @staticmethod
    async def _sleep_until(time_s: float) -> None:
        if (wait_s := time_s - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)

    async def _run(self, work: Callable[[], tuple[Ask, float] | None], until: Coroutine[Any, Any, None], patience_s: float) -> Tally:
        self._tally, self._next, start_s = Tally(), work, time.perf_counter()
        for _ in range(len(self._idle)):
            self._feed(self._idle.popleft())
        await until
        give_up_s = time.perf_counter() + patience_s
        while (self._in_flight or self._late) and time.perf_counter() < give_up_s:
            await asyncio.sleep(0.005)
        self._next = lambda: None
        self._tally.seconds, self._tally.unanswered = time.perf_counter() - start_s, self._in_flight + len(self._late)
        return self._tally


def run(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run() on select(2), which wakes to the microsecond; epoll wakes to the millisecond, and that would be measured as latency."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(main)


def constant(per_s: float, seconds: float) -> Iterator[float]:
    """Times at even distances."""
    return (number / per_s for number in range(round(per_s * seconds)))


def poisson(per_s: float, seconds: float, seed: int) -> Iterator[float]:
    """Times of a Poisson process: as of many callers who know nothing of each other."""
    rng, at_s = np.random.default_rng(seed), 0.0
    while (at_s := at_s + float(rng.exponential(1 / per_s))) < seconds:
        yield at_s
