"""A whole bundle in the shape of the model that large shops serve: SigLIP's ViT-B/16 at 224 px with random weights, 128 values a vector."""

import dataclasses
import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from components import schema
from components.bundle import DRIFT_REFERENCE, GOLDEN, GOLDEN_TITLES, INDEX_FOLDER, MODEL_CARD
from components.calibrator import ANCHORS, CALIBRATOR, identity
from components.contract import write_json
from components.fingerprint import fingerprint
from components.images import digest, normalise
from components.manifest import write_manifest
from components.neighbours import IndexConfig, build
from components.photos import squares
from components.shards import write_table
from components.towers import IMAGE_GRAPH, SERVING, TEXT_GRAPH, TOKENIZER, Serving, Towers

SIDE_PX, DIM, MAX_TOKENS, VOCAB_SIZE, WIDTH, SEED = 224, 128, 16, 400, 768, 0
NUM_LAYERS = 12
VISION = {"hidden_size": WIDTH, "intermediate_size": 3072, "num_attention_heads": 12, "image_size": SIDE_PX, "patch_size": 16}
TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_size": WIDTH}
TITLES = ["red mug", "blue mug", "red shoe", "blue shoe", "赤いマグ", "青い靴"]
NUM_ITEMS = 16


def torch_towers(num_layers: int = NUM_LAYERS) -> tuple[Any, Any, Any]:
    """The image graph, the text graph and the tokenizer, as torch modules with the weights of SEED. A test may do with fewer layers."""
    import torch
    from transformers import SiglipConfig

    from components.export.graphs import ImageGraph, TextGraph
    from components.finetune.tokens import train_tokenizer
    from components.head import HeadShape, ScoreHead
    from components.siglip import from_scratch

    torch.manual_seed(SEED)
    tokenizer = train_tokenizer(TITLES, VOCAB_SIZE)
    end = tokenizer.eos_token_id
    ends = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end}
    text = TEXT | ends | {"vocab_size": len(tokenizer), "max_position_embeddings": MAX_TOKENS}
    encoder = from_scratch(SiglipConfig(text_config=text, vision_config=VISION | {"num_hidden_layers": num_layers})).eval()
    head = ScoreHead(HeadShape([num_layers // 2, num_layers], WIDTH, 256, own_trunk=False))
    projection = torch.linalg.qr(torch.randn(WIDTH, DIM))[0]
    return ImageGraph(encoder, head, None, projection).eval(), TextGraph(encoder, projection).eval(), tokenizer


def picture(seed: int, side_px: int = 320) -> bytes:
    """A JPEG of coloured blots."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (8, 8, 3), np.uint8)
    noise = rng.normal(0, 6, (side_px, side_px, 3))
    large = np.asarray(Image.fromarray(small).resize((side_px, side_px), Image.Resampling.BICUBIC)) + noise
    Image.fromarray(large.clip(0, 255).astype(np.uint8)).save(sink := io.BytesIO(), "JPEG", quality=90)
    return sink.getvalue()


def make_vit_bundle(folder: Path, precision: str = "fp32") -> str:
    """The digest of a bundle written to `folder`, which must not exist: about 30 s and, in fp32, 380 MB. Equal calls give equal graphs."""
    from components.export.graphs import export_image, export_text
    from components.export.quantise import quantise

    folder.mkdir(parents=True)
    image, text, tokenizer = torch_towers()
    export_image(image, SIDE_PX, folder / IMAGE_GRAPH)
    export_text(text, MAX_TOKENS, folder / TEXT_GRAPH)
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    if precision == "int8":
        quantise(folder / IMAGE_GRAPH, folder / "int8.onnx", _calibration())
        (folder / "int8.onnx").replace(folder / IMAGE_GRAPH)
    identity().write(folder / CALIBRATOR)
    serving = Serving(_fingerprint(precision), DIM, SIDE_PX, MAX_TOKENS, int(tokenizer.pad_token_id), precision, digest())
    write_json(folder / SERVING, dataclasses.asdict(serving))
    _write_tables(folder)
    facts = {"fingerprint": serving.fingerprint, "serving": dataclasses.asdict(serving), "data": {}, "params": {}, "metrics": {}}
    return write_manifest(folder, facts | {"promote": True, "reasons": []})


def kept_vit_bundle(cache: Path, precision: str = "fp32") -> Path:
    """The bundle in the folder `cache`, made where it is not there yet."""
    folder = cache / f"vit-b16-{precision}"
    if not folder.exists():
        making = cache / f"{folder.name}.making"
        shutil.rmtree(making, ignore_errors=True)
        make_vit_bundle(making, precision)
        making.rename(folder)
    return folder


def _fingerprint(precision: str) -> str:
    part = hashlib.sha256(f"vit-b16 {SEED}".encode()).hexdigest()
    return fingerprint(encoder=part, preprocessing=digest(), projection=part, precision=precision)


def _calibration() -> Iterator[np.ndarray]:
    for start in range(100, 132, 8):
        yield normalise(squares([picture(seed) for seed in range(start, start + 8)], SIDE_PX))


def _write_tables(folder: Path) -> None:
    """Writes the golden answers, the index and the tables that a bundle must have, over NUM_ITEMS pictures."""
    towers, pictures = Towers.open(folder), [picture(seed) for seed in range(NUM_ITEMS)]
    answers = [towers.embed_picture(data) for data in pictures]
    vector_ND, scores = np.stack([vector for vector, _ in answers]), np.array([score for _, score in answers], np.float32)
    ids, vectors = [hashlib.sha256(data).hexdigest() for data in pictures], _vectors(vector_ND)
    golden = {"image_id": pa.array(ids), "data": pa.array(pictures, pa.binary()), "vector": vectors, "image_score": pa.array(scores)}
    write_table(folder / GOLDEN, pa.table(golden), schema.golden(DIM))
    titles = {"title": pa.array(TITLES), "vector": _vectors(towers.embed_titles(TITLES))}
    write_table(folder / GOLDEN_TITLES, pa.table(titles), schema.golden_titles(DIM))
    items = [f"item-{number}" for number in range(NUM_ITEMS)]
    also = {"image_id": pa.array(ids), "image_score": pa.array(scores)}
    cfg = IndexConfig(flat_below=20000, num_cells=512, num_probes=4)
    build(folder / INDEX_FOLDER, items, vector_ND, towers.serving.fingerprint, cfg, also)
    write_table(folder / DRIFT_REFERENCE, schema.drift_reference(DIM).empty_table(), schema.drift_reference(DIM))
    write_table(folder / ANCHORS, schema.ANCHORS.empty_table(), schema.ANCHORS)
    (folder / MODEL_CARD).write_text("# Random weights, for measuring\n", encoding="utf-8")


def _vectors(vector_ND: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vector_ND.astype(np.float32).ravel()), vector_ND.shape[1])
