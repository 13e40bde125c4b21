"""Where the processes of a training find each other: a store of torch at the address of rank 0. And what is said when one is lost."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from components.errors import BadEnvironment, RankLost
from components.finetune.place import Place

STARTED = "vitrine/started"  # set in the store by rank 0 when it begins to train
CONNECT_S = 1.0
# What gloo and NCCL say where another process is gone or silent; the store's errors have a type of their own.
LOST = re.compile(
    r"gloo/|pair closure|Socket closed|Connection (closed|reset)|closed the connection|Broken pipe|Timed out waiting|Operation timed out|"
    r"NCCL (error|communicator)|remote process exited"
)


def open_store(place: Place, patience_s: float) -> TCPStore:
    """The store at the address of rank 0, which that rank keeps unless it is kept apart. Raises BadEnvironment, RankLost."""
    limit = timedelta(seconds=patience_s)
    if place.rank or place.is_kept_apart:
        _await_listener(place, patience_s)
        return TCPStore(place.address, place.port, None, False, timeout=limit)
    try:
        return TCPStore(place.address, place.port, None, True, timeout=limit, wait_for_workers=False)
    except distributed.DistNetworkError as error:
        raise BadEnvironment(f"rank 0 cannot listen at port {place.port} (MASTER_PORT): {error}") from None


def _await_listener(place: Place, patience_s: float) -> None:
    """Returns when something listens there. torch's own client would fill the log with stack traces until then."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection((place.address, place.port), timeout=max(CONNECT_S, patience_s / 10)).close()
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise RankLost(
                    f"rank {place.rank}: nobody listens at {place.address}:{place.port} (MASTER_ADDR, MASTER_PORT) after {patience_s:g} s "
                    f"({error}). Is rank 0 running, and may this machine reach it?"
                ) from None
        time.sleep(CONNECT_S)


@contextmanager
def lost_told(place: Place, patience_s: float) -> Iterator[None]:
    """Raises RankLost for an error of the block that says that another process is gone or silent."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not LOST.search(str(error)):
            raise
        raise RankLost(
            f"rank {place.rank}: another of the {place.size} processes is gone, or was silent for {patience_s:g} s "
            f"(finetune.train.rank_timeout_s): its own log says why, here it was {_first_sentence(str(error))!r}. Start all of them again: "
            "they go on from the last checkpoint"
        ) from error


def _first_sentence(text: str) -> str:
    """Without the place in torch's sources that stands before it."""
    return re.sub(r"^\[\S+\] ", "", text.splitlines()[0]).partition(". ")[0]
