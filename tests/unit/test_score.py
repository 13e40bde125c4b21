import dataclasses
import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from components import calibrator, schema
from components.calibrator import Calibrator
from components.checkpoint import Checkpoints
from components.errors import BadBundle
from components.finetune.start import start_model
from components.head import HeadShape, ScoreHead, cell_means, features, layers_of, load_head, save_head
from components.objects import FolderStore
from components.score.resume import resume_from
from components.score.train import (
    HeadConfig,
    Lessons,
    OwnTrunkConfig,
    focal_pair_loss,
    read_features,
    teach_on_own_trunk,
    teach_on_shared_trunk,
    votes_won,
)
from components.votes import agreed_votes
from tests.unit.test_finetune import TITLES, scratch

HEAD = HeadConfig(
    layers=[0, 1], hidden=16, epochs=25, batch_size=16, learning_rate=0.01, weight_decay=0.0, focal_gamma=2.0, checkpoint_every_steps=7
)
SHAPE = HeadShape([0, 1], 32, 16, own_trunk=False)


def label(first, second, choice, split="train", clicked=None):
    return dict.fromkeys(schema.LABELS.names) | {
        "first_item": first,
        "second_item": second,
        "clicked_item": clicked or first,
        "split": split,
        "choice": choice,
        "adjectives": [],
        "judge": "j",
        "rubric": "1",
        "cache_key": f"{first}{second}",
    }


def votes_of(*labels):
    return agreed_votes(pa.Table.from_pylist(list(labels), schema.LABELS))


def test_a_vote_needs_both_orders_to_name_one_winner():
    assert [(v.better, v.worse) for v in votes_of(label("a", "b", "first"), label("b", "a", "second"))] == [("a", "b")]
    assert [(v.better, v.worse) for v in votes_of(label("a", "b", "second"), label("b", "a", "first"))] == [("b", "a")]


@pytest.mark.parametrize(
    "choices", [("first", "first"), ("second", "second"), ("tie", "tie"), ("first", "tie"), ("cannot_judge", "second")]
)
def test_a_judge_that_contradicts_itself_has_no_say(choices):
    assert votes_of(label("a", "b", choices[0]), label("b", "a", choices[1])) == []


def test_one_order_alone_is_no_vote():
    assert votes_of(label("a", "b", "first")) == []


def test_the_focal_loss_is_the_logistic_one_at_gamma_0_and_forgives_what_is_won():
    better, worse = torch.tensor([0.3, 4.0]), torch.tensor([0.1, -4.0])
    p = torch.sigmoid(better - worse)
    torch.testing.assert_close(focal_pair_loss(better, worse, 0.0), -p.log().mean())
    torch.testing.assert_close(focal_pair_loss(better, worse, 2.0), -((1 - p) ** 2 * p.log()).mean())


def test_votes_won_count_a_tie_half():
    score = np.array([0.9, 0.1, 0.1])
    assert votes_won(score, np.array([[0, 1], [1, 2], [1, 0]])) == pytest.approx(0.5)
    assert votes_won(score, np.zeros((0, 2), int)) is None


def photo(seed: int, blur: float) -> bytes:
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
    sink = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(blur)).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(FolderStore(tmp_path / "kept"), "score/k")


def blurred_photos():
    """An untrained trunk, 60 photos, the odd ones blurred, and votes for the sharp ones: photos 0 to 39 teach, the rest check."""
    model, _ = start_model("scratch", scratch(), TITLES, seed=0)
    photos = [photo(i, blur=2.5 * (i % 2)) for i in range(60)]
    rng = np.random.default_rng(0)
    train = np.stack([rng.choice(np.arange(0, 40, 2), 80), rng.choice(np.arange(1, 40, 2), 80)], axis=1)
    val = np.stack([rng.choice(np.arange(40, 60, 2), 40), rng.choice(np.arange(41, 60, 2), 40)], axis=1)
    return model.eval(), photos, Lessons(train, val)


blurred = pytest.fixture(scope="module")(blurred_photos)


def test_the_head_learns_to_see_blur_and_leaves_the_shared_trunk_alone(blurred, checkpoints):
    model, photos, lessons = blurred
    before = [p.clone() for p in model.vision_model.state_dict().values()]
    feature = read_features(model.vision_model, photos, 32, [0, 1])
    taught = teach_on_shared_trunk(feature, lessons, SHAPE, HEAD, seed=0, checkpoints=checkpoints)
    assert taught.val_opa > 0.9
    assert all(torch.equal(a, b) for a, b in zip(before, model.vision_model.state_dict().values(), strict=True))


def test_labels_turned_round_teach_the_opposite(blurred, checkpoints):
    model, photos, lessons = blurred
    feature = read_features(model.vision_model, photos, 32, [0, 1])
    turned = Lessons(lessons.train_P2[:, ::-1].copy(), lessons.val_P2[:, ::-1].copy())
    taught = teach_on_shared_trunk(feature, turned, SHAPE, HEAD, seed=0, checkpoints=checkpoints)
    with torch.no_grad():
        assert votes_won(taught.head(feature).numpy(), lessons.val_P2) < 0.1


def test_a_trunk_of_its_own_learns_and_the_shared_one_does_not(blurred, checkpoints):
    model, photos, lessons = blurred
    own_cfg = OwnTrunkConfig(when="always", max_opa_cost=0.0, epochs=2, learning_rate=0.001)
    torch.manual_seed(0)
    before = model.vision_model.encoder.layers[0].mlp.fc1.weight.clone()
    head = ScoreHead(SHAPE)
    taught = teach_on_own_trunk(model.vision_model, photos, 32, lessons, head, HEAD, own_cfg, seed=0, checkpoints=checkpoints)
    assert torch.equal(before, model.vision_model.encoder.layers[0].mlp.fc1.weight)
    assert not torch.equal(before, taught.trunk.encoder.layers[0].mlp.fc1.weight)
    assert len(taught.curve) == 2


def test_without_validation_votes_the_last_epoch_stays(blurred, checkpoints):
    model, photos, lessons = blurred
    feature = read_features(model.vision_model, photos, 32, [0, 1])
    taught = teach_on_shared_trunk(feature, Lessons(lessons.train_P2, lessons.val_P2[:0]), SHAPE, HEAD, seed=0, checkpoints=checkpoints)
    assert taught.val_opa is None
    assert len(taught.curve) == HEAD.epochs


def weights(*parts):
    return [tensor.numpy().tobytes() for part in parts for tensor in part.state_dict().values()]


@dataclasses.dataclass(frozen=True)
class Dying(Checkpoints):
    """Checkpoints whose run is killed once it has saved so many times."""

    left: list[int] = dataclasses.field(default_factory=lambda: [1])

    def save(self, model, optimizer, progress):
        super().save(model, optimizer, progress)
        self.left[0] -= 1
        if not self.left[0]:
            raise KeyboardInterrupt


@pytest.mark.parametrize("saves", [1, 2, 9])
def test_a_head_whose_training_was_killed_goes_on_and_ends_with_the_same_weights(blurred, tmp_path, saves):
    """Steps 7, 14 and 63 of 125, five an epoch: within an epoch, so that dropout, losses and order must all be where they were."""
    model, photos, lessons = blurred
    feature, store = read_features(model.vision_model, photos, 32, [0, 1]), FolderStore(tmp_path)
    whole = teach_on_shared_trunk(feature, lessons, SHAPE, HEAD, seed=0, checkpoints=Checkpoints(store, "whole"))
    after = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        teach_on_shared_trunk(feature, lessons, SHAPE, HEAD, seed=0, checkpoints=Dying(store, "killed", [saves]))
    torch.manual_seed(99)  # another process
    resumed = teach_on_shared_trunk(feature, lessons, SHAPE, HEAD, seed=0, checkpoints=Checkpoints(store, "killed"))
    assert weights(resumed.head) == weights(whole.head)
    assert (resumed.val_opa, resumed.curve) == (whole.val_opa, whole.curve)
    assert torch.equal(torch.get_rng_state(), after)  # which the training on its own trunk draws from


def test_a_trunk_of_its_own_whose_training_was_killed_ends_with_the_same_weights(blurred, tmp_path):
    model, photos, lessons = blurred
    own_cfg = OwnTrunkConfig(when="always", max_opa_cost=0.0, epochs=2, learning_rate=0.001)
    store = FolderStore(tmp_path)

    def teach(checkpoints):
        torch.manual_seed(0)
        head = ScoreHead(SHAPE)
        return teach_on_own_trunk(model.vision_model, photos, 32, lessons, head, HEAD, own_cfg, seed=0, checkpoints=checkpoints)

    whole = teach(Checkpoints(store, "whole"))
    with pytest.raises(KeyboardInterrupt):
        teach(Dying(store, "killed"))
    resumed = teach(Checkpoints(store, "killed"))
    assert weights(resumed.head, resumed.trunk) == weights(whole.head, whole.trunk)
    assert resumed.curve == whole.curve


def test_a_finished_training_that_is_started_again_learns_nothing_more(blurred, checkpoints):
    model, photos, lessons = blurred
    feature = read_features(model.vision_model, photos, 32, [0, 1])
    first = teach_on_shared_trunk(feature, lessons, SHAPE, HEAD, seed=0, checkpoints=checkpoints)
    again = teach_on_shared_trunk(feature * float("nan"), lessons, SHAPE, HEAD, seed=0, checkpoints=checkpoints)
    assert weights(again.head) == weights(first.head)


def test_checkpoints_are_of_one_encoder_one_set_of_photos_votes_and_params(tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "model").write_bytes(b"1")
    votes = Lessons(np.array([[0, 1]]), np.array([[1, 0]]))
    store = FolderStore(tmp_path / "kept")

    def key(params="p", photos=(b"a", b"b"), lessons=votes):
        return resume_from(store, params, tmp_path / "encoder", photos, lessons).shared.key

    keys = [key(), key(params="q"), key(photos=(b"ab", b"")), key(lessons=Lessons(votes.val_P2, votes.train_P2))]
    (tmp_path / "encoder" / "model").write_bytes(b"2")
    keys.append(key())
    assert len(set(keys)) == 5
    assert keys[-1] == key()


def test_a_saved_head_answers_as_before(tmp_path):
    torch.manual_seed(1)
    head = ScoreHead(SHAPE).eval()
    save_head(tmp_path, head, None)
    given_features = torch.rand(3, 10 * 2 * 32)
    torch.testing.assert_close(load_head(tmp_path)(given_features), head(given_features))


def test_features_hold_each_cells_mean_and_the_spread_of_each_layer(blurred):
    kept = layers_of(blurred[0].vision_model, torch.rand(2, 3, 32, 32))
    assert len(kept) == 2
    found = features(kept, [1])
    assert found.shape == (2, 10 * 32)
    torch.testing.assert_close(found[:, -32:], kept[1].std(dim=1, correction=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 14])
def test_cells_average_tokens_by_place(side):
    means = cell_means(side * side)
    torch.testing.assert_close(means.sum(dim=1), torch.ones(9))
    assert (means.sum(dim=0) > 0).all()
    top = torch.arange(side * side).reshape(side, side)[0]
    assert means[:3, top].sum() >= means[6:, top].sum() if side == 1 else means[:3, top].sum() > means[6:, top].sum()


RAW = st.lists(st.floats(0.001, 0.999), min_size=2, max_size=60)


@given(raw=RAW, seed=st.integers(0, 9))
def test_the_calibrator_rises_strictly_and_stays_in_range(raw, seed):
    raw = np.array(raw)
    target = np.random.default_rng(seed).random(len(raw))
    found = calibrator.fit(raw, target)
    grid = np.linspace(0, 1, 201)
    score = found(grid).astype(float)
    assert (np.diff(score) > 0).all()
    assert score[0] == 0
    assert score[-1] == 1


def test_anchors_keep_their_scores_when_the_next_head_puts_out_other_numbers():
    """The scale is frozen: a head that orders anchors alike but on another scale gives them the scores they had."""
    rng = np.random.default_rng(0)
    first = np.sort(rng.random(400)) * 0.98 + 0.01
    target = calibrator.mid_ranks(first)
    second = 1 / (1 + np.exp(-3 * (first - 0.2)))
    found = calibrator.fit(second, target)
    assert np.abs(found(second) - target).max() < 0.04


def test_a_calibrator_comes_back_from_its_file_and_bad_knots_are_refused(tmp_path):
    kept = calibrator.fit(np.array([0.2, 0.4, 0.9]), np.array([0.1, 0.5, 0.8]))
    kept.write(tmp_path / "c.json")
    assert Calibrator.read(tmp_path / "c.json") == kept
    with pytest.raises(BadBundle, match="rise strictly"):
        Calibrator([0.0, 0.5, 1.0], [0.0, 0.0, 1.0])
