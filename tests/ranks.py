"""Processes that train together on loopback, for tests: forks of a server that has imported torch once."""

import json
import logging
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from components.errors import VitrineError
from components.finetune.component import _make_repeatable
from components.finetune.place import Place
from components.finetune.world import SharedCheckpoints, World, joined
from components.objects import FolderStore

Job = Callable[..., None]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.ranks", "tests.lessons", "components.finetune.train"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def ranks(job: Job, folder: Path, size: int, *arguments: Any, patience_s: float = 60) -> Iterator[list[BaseProcess]]:
    """`job(world, folder of the rank, *arguments)` in `size` processes. They are ended with the block; see said()."""
    port, found = free_port(), []
    for rank in range(size):
        place = Place(rank, size, rank, "127.0.0.1", port)
        found.append(FORKS.Process(target=_rank, args=(place, patience_s, job, folder / str(rank), arguments), daemon=True))
    for process in found:
        process.start()
    try:
        yield found
    finally:
        for process in found:
            process.kill()
            process.join()


def finished(processes: Sequence[BaseProcess], limit_s: float = 120) -> list[int | None]:
    """The exit codes, once all have ended."""
    for process in processes:
        process.join(limit_s)
    return [process.exitcode for process in processes]


def said(folder: Path, rank: int) -> str:
    """The rank's log, its error last."""
    path = folder / str(rank) / "log.txt"
    return path.read_text() if path.exists() else ""


def _rank(place: Place, patience_s: float, job: Job, folder: Path, arguments: tuple[Any, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "log.txt", level=logging.INFO, force=True)
    _make_repeatable(1)
    try:
        with joined(place, patience_s, 1) as world:
            job(world, folder, *arguments)
    except VitrineError as error:
        logging.getLogger("vitrine").error("%s: %s", type(error).__name__, error)
        os._exit(1)


def checkpoints_of(world: World, folder: Path) -> SharedCheckpoints:
    """In a folder of the rank's own, as on machines without a common disk."""
    return SharedCheckpoints(FolderStore(folder / "cache"), "k", world)


def keep(folder: Path, model: torch.nn.Module, **facts: Any) -> None:
    """Writes what a rank ends with, for the test to read."""
    safetensors.torch.save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, folder / "weights")
    (folder / "facts.json").write_text(json.dumps(facts))


def kept(folder: Path, rank: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What the rank ended with: weights and facts."""
    return safetensors.torch.load_file(folder / str(rank) / "weights"), json.loads((folder / str(rank) / "facts.json").read_text())
