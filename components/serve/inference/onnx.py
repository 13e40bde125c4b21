"""Both towers in this process, run by onnxruntime in worker threads."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime

from components.calibrator import CALIBRATOR, Calibrator
from components.errors import BadBundle
from components.images import normalise
from components.serve.inference.batcher import Batcher
from components.serve.inference.batching import Limits
from components.serve.inference.bisect import Failed
from components.serve.inference.config import InferenceConfig
from components.serve.inference.cores import OURS, Cores
from components.serve.inference.graph import one_row_at_a_time
from components.serve.inference.measure import Setting, Timing, best, measured, remembered, settings, table
from components.serve.inference.queued import SOUND_TEXT, Picture, QueuedTowers, picture_answers, sound_square, text_answers
from components.serve.inference.room import limit_bytes, processor, taken_bytes
from components.towers import IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, Serving, check_there, open_session, open_tokenizer, token_ids

log = logging.getLogger("vitrine")

Item = TypeVar("Item")
Found = TypeVar("Found")


async def open_onnx(cfg: InferenceConfig, folder: Path, state: Path, cores: Cores = OURS) -> QueuedTowers:
    """The towers of the bundle in `folder`, after each answered once. Raises BadBundle where a graph cannot be run."""
    return await asyncio.to_thread(_open, cfg, folder, state, cores)


def _open(cfg: InferenceConfig, folder: Path, state: Path, cores: Cores) -> QueuedTowers:
    check_there(folder, IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, CALIBRATOR)
    serving = Serving.read(folder)
    session = _Session(folder / IMAGE_GRAPH, serving)
    timings = [] if cfg.threads else _timings(cfg, session, state, cores.count)
    setting = best(timings) if timings else pinned(cfg, most_rows(cfg, session.graph, session.serving.image_px**2), cores.count)
    pictures, texts = _pictures(session.of(setting.threads), folder, serving), _texts(folder, serving, setting.threads)
    square = sound_square(serving.image_px)
    try:
        pictures([square])
        texts([SOUND_TEXT])
    except Failed as failed:
        raise BadBundle(f"{folder}: the model fails on a plain picture or text: {failed}") from None
    log.info("inference: %s%s", setting, f" (pictures/s: {table(timings)})" if timings else "")
    pool = ThreadPoolExecutor(setting.at_once + 1, thread_name_prefix="inference")
    slot = partial(cores.taken, setting.threads)
    return QueuedTowers(
        serving=serving,
        pictures=Batcher(partial(_in_thread, pool, pictures), square, limits(cfg, setting.rows), at_once=setting.at_once, slot=slot),
        texts=Batcher(partial(_in_thread, pool, texts), SOUND_TEXT, limits(cfg, most_rows(cfg, folder / TEXT_GRAPH, 0)), slot=slot),
        ended=lambda: asyncio.to_thread(pool.shutdown),
        backend="onnxruntime",
        setting=str(setting),
        pictures_per_s={str(timing.setting): timing.pictures_per_s for timing in timings},
    )


def pinned(cfg: InferenceConfig, max_rows: int, num_cores: int) -> Setting:
    """The setting that params.yaml demands, no threads beyond the cores."""
    threads = min(cfg.threads, num_cores)
    return Setting(threads, max_rows, num_cores // threads)


def most_rows(cfg: InferenceConfig, graph: Path, pixels: int) -> int:
    """Rows of a batch that params.yaml and the graph allow; `pixels` is of one row, 0 for text."""
    if one_row_at_a_time(graph):
        return 1
    return max(1, min(cfg.max_rows, cfg.max_pixels // pixels)) if pixels else cfg.max_rows


def limits(cfg: InferenceConfig, max_rows: int) -> Limits:
    """The queue's bounds, with batches of at most `max_rows`."""
    return Limits(
        max_rows=max_rows,
        max_pixels=cfg.max_pixels,
        max_wait_s=cfg.max_wait_ms / 1000,
        max_queued_rows=cfg.max_queued_rows,
        max_queued_pixels=cfg.max_queued_pixels,
    )


async def _in_thread(pool: ThreadPoolExecutor, run: Callable[[Sequence[Item]], list[Found]], rows: Sequence[Item]) -> list[Found]:
    return await asyncio.get_running_loop().run_in_executor(pool, run, rows)


class _Session:
    """The image tower with the threads last asked for; never two at a time, since each holds the weights."""

    def __init__(self, graph: Path, serving: Serving) -> None:
        self.graph, self.serving = graph, serving
        self.threads = 0
        self.session: onnxruntime.InferenceSession = None
        self.blank = np.zeros((1, 3, serving.image_px, serving.image_px), np.float32)

    def of(self, threads: int) -> onnxruntime.InferenceSession:
        """The tower with so many threads. They do not spin while they wait: the event loop and the decoders need the cores too."""
        if self.threads != threads:
            self.session = None
            self.session, self.threads = _opened(self.graph, threads), threads
        return self.session

    def work(self, threads: int) -> Callable[[int], object]:
        """What runs a batch of so many blank pictures."""
        self.of(threads)
        return lambda rows: self.session.run(None, {"pixels": np.repeat(self.blank, rows, axis=0)})


def _opened(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    try:
        return open_session(graph, threads, spin=False)
    except Exception as error:  # onnxruntime raises many kinds, whose only common base this is
        raise BadBundle(f"{graph} cannot be opened: {error}") from None


def _timings(cfg: InferenceConfig, session: _Session, state: Path, num_cores: int) -> list[Timing]:
    """Kept by the graph's shape, not by its weights: a release trained anew is not measured while its forerunner answers."""
    room, choices = limit_bytes(cfg.memory_mib), settings(num_cores, most_rows(cfg, session.graph, session.serving.image_px**2))
    serving, size = session.serving, session.graph.stat().st_size
    about = (size, serving.image_px, serving.dim, serving.precision, onnxruntime.__version__, processor(), *choices, room >> 28)

    def measure() -> list[Timing]:
        try:
            return measured(session.work, choices, budget_s=cfg.measure_s, room=lambda: room - taken_bytes())
        except BadBundle:
            raise
        except Exception as error:
            raise BadBundle(f"{session.graph} cannot be run: {error}") from None

    return remembered(state / "inference", about, measure)


def _pictures(session: onnxruntime.InferenceSession, folder: Path, serving: Serving) -> Callable[[Sequence[np.ndarray]], list[Picture]]:
    calibrator = Calibrator.read(folder / CALIBRATOR)

    def run(squares: Sequence[np.ndarray]) -> list[Picture]:
        vectors, raw = _run(session, "pixels", normalise(np.stack(squares)))
        return picture_answers(vectors, raw, calibrator, len(squares), serving.dim)

    return run


def _texts(folder: Path, serving: Serving, threads: int) -> Callable[[Sequence[str]], list[np.ndarray]]:
    session, tokenizer = _opened(folder / TEXT_GRAPH, threads), open_tokenizer(folder, serving)

    def run(texts: Sequence[str]) -> list[np.ndarray]:
        try:
            ids = token_ids(tokenizer, list(texts))
        except Exception as error:  # a lone surrogate, for one
            raise Failed(f"the tokenizer fails: {error}") from None
        return text_answers(_run(session, "tokens", ids)[0], len(texts), serving.dim)

    return run


def _run(session: onnxruntime.InferenceSession, name: str, batch: np.ndarray) -> list[np.ndarray]:
    try:
        found: list[np.ndarray] = session.run(None, {name: batch})
    except Exception as error:
        raise Failed(f"{type(error).__name__}: {error}") from None
    return found
