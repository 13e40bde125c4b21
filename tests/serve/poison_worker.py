"""A worker that decodes as the real one does, but for bytes that begin with `do:`: these have it hang, die and lie on command."""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.errors import BadPicture
from components.serve.pictures import worker

COMMAND = (sys.executable, "-P", "-s", "-m", "tests.serve.poison_worker")


def decoding(data: bytes, sides_px: Sequence[int], want_stats: bool, max_pixels: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What the real worker's decoding returns, or worse."""
    if data.startswith(b"do:"):
        order, _, rest = data.removeprefix(b"do:").partition(b" ")
        ORDERS[order.decode()](rest.decode())
        return {"width": 1, "height": 1, "stats": None}, [np.zeros((side, side, 3), np.uint8) for side in sides_px]
    return worker.decoded(data, sides_px, want_stats, max_pixels)


def spin(_: str) -> None:
    """Never returns, and uses all the CPU it can get."""
    while True:
        pass


def sleep_until(when: str) -> None:
    """Never returns, unless it is called after that time: as a machine does that was overloaded and no longer is."""
    if time.time() < float(when):
        time.sleep(1000)


def eat(_: str) -> None:
    """Asks for memory until there is none."""
    held = []
    while True:
        held.append(bytearray(2**24))


def tell(_: str) -> None:
    """Answers with what this process was given."""
    files = sorted(name.split()[0] for number in range(64) if (name := _file(number)))
    limits = {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in ("DATA", "NOFILE", "FSIZE", "CORE", "NPROC")}
    raise BadPicture("picture_told", json.dumps({"env": sorted(os.environ), "files": files, "limits": limits, "session": os.getsid(0)}))


def _file(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}").split("[")[0].rstrip(":")
    except FileNotFoundError:
        return ""


def cut(_: str) -> None:
    """Cuts the shared memory short, which would crash whoever else reads it."""
    for number in range(64):
        if _file(number).startswith("/memfd"):
            os.ftruncate(number, 0)


def lie(_: str) -> None:
    """Sends what is no answer."""
    os.write(next(number for number in range(64) if _file(number) == "socket"), b"\x80\x04not json")
    time.sleep(1000)


def fail(_: str) -> None:
    """Raises what nobody expects."""
    raise KeyError("a bug")


ORDERS = {
    "spin": spin,
    "sleep_until": sleep_until,
    "crash": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "wait": lambda seconds: time.sleep(float(seconds)),
    "eat": eat,
    "tell": tell,
    "cut": cut,
    "lie": lie,
    "fail": fail,
}

if __name__ == "__main__":
    worker.main(decoding)
