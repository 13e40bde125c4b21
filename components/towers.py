"""The exported towers as they are served: onnxruntime over the graphs of `export`. Loads no torch.

Shape suffixes: B rows, K served width.
"""

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from components import images
from components.calibrator import CALIBRATOR, Calibrator
from components.errors import BadBundle

SERVING = "serving.json"
IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER = "image.onnx", "text.onnx", "tokenizer.json"


@dataclass(frozen=True)
class Serving:
    """What a caller must know of exported towers; kept beside them as serving.json."""

    fingerprint: str
    dim: int
    image_px: int
    max_tokens: int
    pad_id: int
    precision: str
    preprocessing: str

    @classmethod
    def read(cls, folder: Path) -> "Serving":
        """The facts kept in `folder`. Raises BadBundle where there are none, or where the pictures were prepared by another images.py."""
        try:
            serving = cls(**json.loads((folder / SERVING).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise BadBundle(f"{folder} holds no exported model: {SERVING}: {error}") from None
        if serving.preprocessing != images.digest():
            raise BadBundle(
                f"{folder} was exported with another components/images.py ({serving.preprocessing[:12]}, here {images.digest()[:12]}): "
                "its vectors would not match. Run the version that made it, or export again with `dvc repro`"
            )
        return serving


@dataclass(frozen=True)
class Towers:
    """Both towers of one export, in one vector space, with the score's scale."""

    serving: Serving
    image: onnxruntime.InferenceSession
    text: onnxruntime.InferenceSession
    tokenizer: Tokenizer
    calibrator: Calibrator

    @classmethod
    def open(cls, folder: Path, *, threads: int = 0) -> "Towers":
        """The towers kept in `folder`; `threads` 0 lets onnxruntime choose. Raises BadBundle where a file is missing."""
        check_there(folder, SERVING, IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, CALIBRATOR)
        serving = Serving.read(folder)
        return cls(
            serving,
            open_session(folder / IMAGE_GRAPH, threads),
            open_session(folder / TEXT_GRAPH, threads),
            open_tokenizer(folder, serving),
            Calibrator.read(folder / CALIBRATOR),
        )

    def embed_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, K) float32 unit vectors and (B,) calibrated scores in [0, 1], from (B, 3, H, W) float32 pixels in [-1, 1]."""
        vectors, raw = self.image.run(None, {"pixels": pixels})
        return vectors, self.calibrator(raw)

    def embed_picture(self, data: bytes) -> tuple[np.ndarray, float]:
        """(K,) unit vector and score of one encoded picture. Raises BadPicture."""
        vectors, scores = self.embed_pixels(images.normalise(images.to_square(data, self.serving.image_px))[None])
        return vectors[0], float(scores[0])

    def embed_titles(self, titles: list[str]) -> np.ndarray:
        """(B, K) float32 unit vectors in the pictures' space. Text is NFC and one line."""
        vectors: np.ndarray = self.text.run(None, {"tokens": token_ids(self.tokenizer, titles)})[0]
        return vectors


def check_there(folder: Path, *names: str) -> None:
    """Raises BadBundle where a file of an export is missing."""
    for name in names:
        if not (folder / name).is_file():
            raise BadBundle(f"{folder} holds no exported model: {name} is missing")


def open_tokenizer(folder: Path, serving: Serving) -> Tokenizer:
    """The export's tokenizer, which cuts and pads to serving.max_tokens."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(serving.max_tokens)
    tokenizer.enable_padding(length=serving.max_tokens, pad_id=serving.pad_id, pad_token=tokenizer.id_to_token(serving.pad_id))
    return tokenizer


def token_ids(tokenizer: Tokenizer, titles: list[str]) -> np.ndarray:
    """int64 (B, T): what the text graph reads. Text is NFC and one line."""
    cleaned = [" ".join(unicodedata.normalize("NFC", t).split()) for t in titles]
    return np.array([e.ids for e in tokenizer.encode_batch(cleaned)], np.int64).reshape(len(titles), -1)


def open_session(path: Path, threads: int = 0, *, spin: bool = True) -> onnxruntime.InferenceSession:
    """A CPU session on one graph; `threads` 0 lets onnxruntime choose. Threads that spin between products are quicker, and keep whoever
    else needs the cores from them."""
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
