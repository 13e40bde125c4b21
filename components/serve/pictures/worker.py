"""The guarded place: a process that decodes pictures, and in which nothing of the gateway's is.

It comes from exec, so it shares no memory; its environment is bare, and it holds two open files: a socket, where one message asks and
one answers, and shared memory, where a picture's bytes come and its squares go. Messages are JSON: what a broken decoder sends back must
not be able to run code in the gateway, as a pickle could.
"""

import ctypes
import io
import json
import mmap
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from components import images, picture_stats
from components.errors import BadPicture
from components.process import die_with_parent

READY = b"ready"
MAX_MESSAGE = 16 * 1024
SPARE_FILES = 4  # imports that Pillow puts off need one or two
PR_SET_NO_NEW_PRIVS = 38

Decoding = Callable[[bytes, Sequence[int], bool, int], tuple[dict[str, Any], list[np.ndarray]]]


def decoded(data: bytes, sides_px: Sequence[int], want_stats: bool, max_pixels: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What is told of the picture (width and height upright in px, stats or None), and one square a side. Raises BadPicture."""
    about = images.about(data)
    if about.width * about.height > max_pixels:
        raise BadPicture("picture_too_many_pixels", f"{about.width}x{about.height} px, limit {max_pixels}")
    squares = [images.to_square(data, side) for side in sides_px]
    stats = picture_stats.stats_of(images.decode(data, picture_stats.SIDE_PX)) if want_stats else None
    return {"width": about.width, "height": about.height, "stats": stats}, squares


def main(decoding: Decoding = decoded) -> None:
    """Answers until the socket closes. Arguments: the numbers of socket and memory, the room in it, and the memory limit in MiB."""
    die_with_parent()
    channel_number, memory, num_bytes, memory_mib = (int(word) for word in sys.argv[1:5])
    channel = socket.socket(fileno=os.dup(channel_number))  # under a low number, since the limit of open files goes by the highest
    room = mmap.mmap(memory, num_bytes)
    os.close(channel_number)
    os.close(memory)
    warm_up(decoding)
    confine(memory_mib)
    channel.send(READY)
    while message := channel.recv(MAX_MESSAGE):
        answer = answered(json.loads(message), room, decoding)
        channel.send(json.dumps(answer).encode())


def answered(asked: dict[str, Any], room: mmap.mmap, decoding: Decoding) -> dict[str, Any]:
    """The answer to one message; squares lie in the room, one behind the other in the order of the sides."""
    limit_cpu(asked["cpu_s"])
    try:
        told, squares = decoding(room[: asked["num_bytes"]], asked["sides_px"], asked["want_stats"], asked["max_pixels"])
    except BadPicture as fault:
        return {"reason": fault.reason, "detail": fault.detail}
    except MemoryError:
        return {"lost": "memory"}
    except Exception as error:
        return {"lost": f"{type(error).__name__}: {error}"[:200]}
    start = 0
    for square in squares:
        room[start : start + square.nbytes] = square.tobytes()
        start += square.nbytes
    return told


def warm_up(decoding: Decoding) -> None:
    """Decodes a picture of each format, so that the first real one does not wait for imports."""
    grey = Image.new("L", (images.MIN_SIDE_PX, images.MIN_SIDE_PX))
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = 6
    for kind in images.DECODERS:
        grey.save(sink := io.BytesIO(), kind, **({} if kind == "GIF" else {"exif": exif}))
        decoding(sink.getvalue(), [8], True, images.MAX_PICTURE_PIXELS)


def confine(memory_mib: int) -> None:
    """From here on: so much memory, no files written, hardly any opened, no children, no new rights, no core dumps, silent."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    limits = {
        resource.RLIMIT_DATA: memory_mib * 2**20,
        resource.RLIMIT_NOFILE: highest + 1 + SPARE_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


def limit_cpu(seconds: float) -> None:
    """Has the kernel end this process (SIGXCPU) after so much more CPU time, rounded up: also when the gateway is too busy to look."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
