"""Both towers on a Triton server, over gRPC. Tokenizer and calibrator stay here."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput, model_config_pb2
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from components.calibrator import CALIBRATOR, Calibrator
from components.errors import BadBundle
from components.fingerprint import file_digest
from components.images import normalise
from components.manifest import MANIFEST
from components.serve.inference.batcher import Batcher
from components.serve.inference.bisect import Failed
from components.serve.inference.config import InferenceConfig
from components.serve.inference.onnx import limits
from components.serve.inference.queued import SOUND_TEXT, Picture, QueuedTowers, picture_answers, sound_square, text_answers
from components.serve.inference.repository import Model, Tensor, models_of
from components.serve.problems import Refused
from components.towers import TOKENIZER, Serving, check_there, open_tokenizer, token_ids

log = logging.getLogger("vitrine")

CHANNEL = [  # back within a second of the server, whose answers may be of any size
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
KINDS = {"TYPE_FP32": "FP32", "TYPE_INT64": "INT64"}
FULL_WORDS = "maximum queue size"  # Triton's own, under UNAVAILABLE
UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED")


async def open_triton(cfg: InferenceConfig, folder: Path) -> QueuedTowers:
    """The bundle's towers on the server at cfg.triton_url. Raises BadBundle where it holds other models under their names, or broken
    ones, Refused inference_failed where it cannot be reached or lacks them."""
    check_there(folder, MANIFEST, TOKENIZER, CALIBRATOR)
    serving, release_id = Serving.read(folder), file_digest(folder / MANIFEST)
    tokenizer = await asyncio.to_thread(open_tokenizer, folder, serving)
    server = Server(cfg, models_of(release_id, serving))
    image, text = server.models
    pictures = partial(_embed_squares, server, image, serving, Calibrator.read(folder / CALIBRATOR))
    texts = partial(_embed_texts, server, text, serving, tokenizer)
    square = sound_square(serving.image_px)
    try:
        num_rows = await server.check()
        await pictures([square])
        await texts([SOUND_TEXT])
    except Failed as failed:
        await server.close()
        raise BadBundle(f"Triton at {cfg.triton_url}: {image.name} or {text.name} fails on a plain picture or text: {failed}") from None
    except BaseException:
        await server.close()
        raise
    bounds = limits(cfg, min(cfg.max_rows, num_rows, max(1, cfg.max_pixels // serving.image_px**2)))
    return QueuedTowers(
        serving=serving,
        pictures=Batcher(pictures, square, bounds, at_once=cfg.triton_max_in_flight),
        texts=Batcher(texts, SOUND_TEXT, bounds, at_once=cfg.triton_max_in_flight),
        ended=server.close,
        backend="triton",
        setting=f"{cfg.triton_url}, {bounds.max_rows} rows, {cfg.triton_max_in_flight} at once",
    )


async def _embed_squares(
    server: "Server", model: Model, serving: Serving, calibrator: Calibrator, squares: Sequence[np.ndarray]
) -> list[Picture]:
    pixels = await asyncio.to_thread(lambda: _input(model.input, normalise(np.stack(squares))))
    vectors, raw = await server.infer(model, pixels)
    return picture_answers(vectors, raw.reshape(-1), calibrator, len(squares), serving.dim)


async def _embed_texts(server: "Server", model: Model, serving: Serving, tokenizer: Any, texts: Sequence[str]) -> list[np.ndarray]:
    try:
        ids = await asyncio.to_thread(token_ids, tokenizer, list(texts))
    except Exception as error:  # a lone surrogate, for one
        raise Failed(f"the tokenizer fails: {error}") from None
    (vectors,) = await server.infer(model, _input(model.input, ids))
    return text_answers(vectors, len(texts), serving.dim)


def _input(tensor: Tensor, batch: np.ndarray) -> InferInput:
    found = InferInput(tensor.name, batch.shape, KINDS[tensor.kind])
    found.set_data_from_numpy(np.ascontiguousarray(batch))
    return found


@dataclass
class Server:
    """A connection that comes back by itself, and asks again what models it talks to: every triton_check_s, and after each failure."""

    cfg: InferenceConfig
    models: tuple[Model, Model]
    _checked_at: float = -float("inf")
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.client = InferenceServerClient(self.cfg.triton_url, channel_args=CHANNEL)

    async def infer(self, model: Model, batch: InferInput) -> list[np.ndarray]:
        """The model's outputs, in its order. Raises Failed where this batch breaks it, Refused where the server is to blame."""
        await self._know()
        try:
            answer = await self.client.infer(model.name, [batch], model_version="1", client_timeout=self.cfg.triton_timeout_s)
        except InferenceServerException as error:
            if refused := refusal(str(error.status()), str(error.message())):
                self._checked_at = -float("inf")
                raise refused from None
            raise Failed(f"Triton: {error.message()}") from None
        found = [answer.as_numpy(output.name) for output in model.outputs]
        if any(values is None for values in found):
            raise Failed(f"Triton: {model.name} left an output out")
        return found

    async def _know(self) -> None:
        """The server's models were found to be ours not long ago. Raises Refused inference_failed where they are not."""
        if time.monotonic() - self._checked_at < self.cfg.triton_check_s:
            return
        async with self._checking:
            if time.monotonic() - self._checked_at < self.cfg.triton_check_s:
                return
            try:
                await self.check()
            except BadBundle as error:
                log.error("inference: %s", error)
                raise Refused("inference_failed", "Triton holds another model than this release's", retry_after_s=5) from None

    async def check(self) -> int:
        """Rows of a batch that both models take. Raises BadBundle where one is not what the bundle says, Refused where it is not ready."""
        rows = [await self._check(model) for model in self.models]
        self._checked_at = time.monotonic()
        return min(rows)

    async def _check(self, model: Model) -> int:
        timeout = {"client_timeout": self.cfg.triton_timeout_s}
        try:
            if not await self.client.is_model_ready(model.name, "1", **timeout):
                raise Refused(
                    "inference_failed", f"Triton at {self.cfg.triton_url} does not hold {model.name}, or not yet", retry_after_s=5
                )
            config = (await self.client.get_model_config(model.name, "1", **timeout)).config
        except InferenceServerException as error:
            raise refusal(str(error.status()), str(error.message())) or _failed(f"Triton: {error.message()}") from None
        if wrong := differences(model, config):
            raise BadBundle(f"Triton at {self.cfg.triton_url}: {model.name} is not the bundle's: {'; '.join(wrong)}")
        return max(1, int(config.max_batch_size))

    async def close(self) -> None:
        """Lets go of the connection."""
        await self.client.close()


def differences(model: Model, config: Any) -> list[str]:
    """What a server's config says otherwise than the model: its facts, and the names, types and shapes of its input and outputs."""
    told = {name: value.string_value for name, value in config.parameters.items()}
    wrong = [f"{name} {told.get(name)!r}, expected {value!r}" for name, value in model.facts.items() if told.get(name) != value]
    served, wanted = [*config.input, *config.output], [model.input, *model.outputs]
    shapes = [(tensor.name, model_config_pb2.DataType.Name(tensor.data_type), tuple(tensor.dims)) for tensor in served]
    if shapes != (expected := [(tensor.name, tensor.kind, tensor.served_dims) for tensor in wanted]):
        wrong.append(f"tensors {shapes}, expected {expected}")
    return wrong


def refusal(status: str, message: str) -> Refused | None:
    """What a gRPC failure means to a caller; None where the batch itself is to blame."""
    code = status.rpartition(".")[2]
    if code == "RESOURCE_EXHAUSTED" or FULL_WORDS in message:
        return Refused("overloaded", "Triton has more work than it can take", retry_after_s=1)
    return _failed(f"Triton: {code}") if code in UNREACHABLE else None


def _failed(detail: str) -> Refused:
    return Refused("inference_failed", detail, retry_after_s=1)
