"""The Image Score's head and its own trunk, taught on the device, against a CPU."""

import pytest
import torch

from components.checkpoint import Checkpoints
from components.head import ScoreHead
from components.objects import FolderStore
from components.score.train import OwnTrunkConfig, read_features, teach_on_own_trunk, teach_on_shared_trunk
from tests.unit.test_score import HEAD, SHAPE, blurred_photos

SIDE_PX = 32
OWN = OwnTrunkConfig(when="always", max_opa_cost=0.0, epochs=1, learning_rate=0.001)


def taught(device, folder):
    model, photos, lessons = blurred_photos()
    trunk = model.vision_model.to(device)
    feature_NF = read_features(trunk, photos, SIDE_PX, SHAPE.layers)
    shared = teach_on_shared_trunk(feature_NF, lessons, SHAPE, HEAD, 0, checkpoints=checkpoints(folder, "s"))
    start = ScoreHead(SHAPE).to(device)
    start.load_state_dict(shared.head.state_dict())
    own = teach_on_own_trunk(trunk, photos, SIDE_PX, lessons, start, HEAD, OWN, 0, checkpoints=checkpoints(folder, "o"))
    return shared, own


def checkpoints(folder, name):
    return Checkpoints(FolderStore(folder), name)


def test_it_is_taught_on_the_device_as_on_a_cpu(device, tmp_path):
    there, here = taught(device, tmp_path / "there"), taught(torch.device("cpu"), tmp_path / "here")
    for found, wanted in zip(there, here, strict=True):
        assert next(found.head.parameters()).device == device
        assert [row["train_loss"] for row in found.curve] == pytest.approx([row["train_loss"] for row in wanted.curve], abs=0.02)
        assert found.val_opa == pytest.approx(wanted.val_opa, abs=0.1)
