"""Weights that a device has trained, exported and served by onnxruntime."""

import numpy as np
import pytest
import torch

from components.checkpoint import Checkpoints
from components.export.graphs import ImageGraph, TextGraph, export_image, export_text
from components.finetune.train import train
from components.head import HeadShape, ScoreHead
from components.objects import FolderStore
from components.siglip import image_vectors, load_encoder, text_vectors
from components.towers import open_session
from tests.gpu.conftest import world_on
from tests.lessons import lesson, train_config

MAX_DIFFERENCE = 1e-4  # as export.max_difference


@pytest.fixture
def trained(device, tmp_path):
    """An encoder after some steps, still where it was trained, and the folder that it was saved to from there."""
    model, data = lesson(24)
    model.to(device)
    cfg = train_config(batch_size=8, epochs=2, min_steps_an_epoch=3)
    train(model, data, cfg, validate=lambda _: None, checkpoints=Checkpoints(FolderStore(tmp_path / "cache"), "k"), world=world_on(device))
    model.save_pretrained(tmp_path / "encoder")
    return model, tmp_path / "encoder"


@torch.inference_mode()
def test_onnxruntime_gives_the_vectors_of_the_device_that_trained(trained, device, tmp_path):
    model, folder = trained
    kept = load_encoder(folder)
    for name, value in kept.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].cpu()), name
    whole = torch.eye(32)  # all 32 values are served, so that they can be compared
    head = ScoreHead(HeadShape([0, 1], 32, 16, own_trunk=False)).eval()
    export_image(ImageGraph(kept, head, None, whole).eval(), 32, tmp_path / "image.onnx")
    export_text(TextGraph(kept, whole).eval(), 16, tmp_path / "text.onnx")
    pixels = np.random.default_rng(0).uniform(-1, 1, (7, 3, 32, 32)).astype(np.float32)
    tokens = lesson(7)[1].tokens.numpy()
    image = open_session(tmp_path / "image.onnx").run(None, {"pixels": pixels})[0]
    text = open_session(tmp_path / "text.onnx").run(None, {"tokens": tokens})[0]
    np.testing.assert_allclose(image, image_vectors(model, torch.from_numpy(pixels).to(device)).cpu(), rtol=0, atol=MAX_DIFFERENCE)
    np.testing.assert_allclose(text, text_vectors(model, torch.from_numpy(tokens).to(device)).cpu(), rtol=0, atol=MAX_DIFFERENCE)
