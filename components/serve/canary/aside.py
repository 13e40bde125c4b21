"""Blocking calls beside the event loop, in threads that do not keep the process from ending: a registry may hang."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from components.errors import StoreFailed

T = TypeVar("T")


def begun(call: Callable[[], T]) -> "asyncio.Future[T]":
    """What the call will return or raise."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return  # nobody waits for it any more
        future.set_exception(error) if error else future.set_result(result)  # type: ignore[arg-type]  # a result where there is no error

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as found:
            error = found
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="vitrine-registry", daemon=True).start()
    return future


async def within(future: "asyncio.Future[T]", timeout_s: float, what: str) -> T:
    """The future's result, which goes on where it takes longer. Raises StoreFailed then."""
    done, _ = await asyncio.wait([future], timeout=timeout_s)
    if not done:
        future.add_done_callback(_seen)
        raise StoreFailed(f"{what} has not answered within {timeout_s:g} s")
    return future.result()


def _seen(future: "asyncio.Future[T]") -> None:
    """An error that comes too late for whoever asked is no news."""
    if not future.cancelled():
        future.exception()
