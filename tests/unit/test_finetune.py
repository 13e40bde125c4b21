import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.checkpoint import Checkpoints, Progress, pack, unpack
from components.contract import bind
from components.errors import BadParams
from components.finetune.augment import AugmentConfig, augment, draw_views
from components.finetune.batches import Batches
from components.finetune.loss import Alike, sigmoid_loss
from components.finetune.start import start_model
from components.finetune.tokens import train_tokenizer
from components.finetune.train import train
from components.finetune.world import World, alone
from components.objects import FolderStore
from components.siglip import image_vectors, load_encoder, tokenise
from tests.lessons import TITLES, lesson, params, scratch, train_config, unit, weights


def loss_by_loops(z_img, z_txt, t, b, same):
    """Zhai et al. 2023, eq. 1, written as sums over pairs."""
    total = 0.0
    for i in range(len(z_img)):
        for j in range(len(z_txt)):
            if i != j and same[i][j]:
                continue
            y = 1.0 if i == j else -1.0
            logit = t * float(z_img[i] @ z_txt[j]) + b
            total += float(np.log1p(np.exp(-y * logit)))
    return total / len(z_img)


@given(rows=st.integers(1, 6), seed=st.integers(0, 99), t=st.floats(1, 20), b=st.floats(-10, 2))
def test_the_loss_is_the_papers_sum_over_counted_pairs(rows, seed, t, b):
    z_img, z_txt = unit(rows, 8, seed), unit(rows, 8, seed + 1)
    same = torch.rand(rows, rows, generator=torch.Generator().manual_seed(seed)) < 0.4
    found = sigmoid_loss(z_img, z_txt, torch.tensor(t).log(), torch.tensor(b), same.__getitem__)
    assert float(found) == pytest.approx(loss_by_loops(z_img, z_txt, t, b, same.tolist()), rel=1e-4, abs=1e-5)


@given(rows=st.integers(1, 9), own=st.integers(1, 9), cells=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_loss_in_pieces_is_the_whole_one_and_so_are_its_gradients(rows, own, cells, seed):
    first = min(seed % rows, rows - 1)
    same = torch.rand(rows, rows, generator=torch.Generator().manual_seed(seed)) < 0.4
    found = []
    for max_cells in (10**6, cells):
        z_img, z_txt = unit(rows, 8, seed)[first : first + own].requires_grad_(), unit(rows, 8, seed + 1).requires_grad_()
        knobs = torch.tensor(2.0, requires_grad=True), torch.tensor(-3.0, requires_grad=True)
        loss = sigmoid_loss(z_img, z_txt, *knobs, same.__getitem__, first=first, max_cells=max_cells)
        found.append([loss.detach(), *torch.autograd.grad(loss, (z_img, z_txt, *knobs))])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


class Kept:
    """The most cells that a tensor kept for the way back had."""

    def __init__(self):
        self.cells = 0

    def __enter__(self):
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error):
        self.hooks.__exit__(*error)

    def pack(self, tensor):
        self.cells = max(self.cells, tensor.numel())
        return tensor


@pytest.mark.parametrize("num_pairs", [256, 1024])
def test_what_a_loss_in_pieces_keeps_grows_with_the_batch_and_not_with_its_square(num_pairs):
    z_img, z_txt = unit(num_pairs, 64, 0).requires_grad_(), unit(num_pairs, 64, 1)
    alike = Alike.of([str(i) for i in range(num_pairs)], [None] * num_pairs, np.arange(num_pairs, dtype=np.uint64), 0)
    with Kept() as kept:
        sigmoid_loss(z_img, z_txt, torch.tensor(2.3), torch.tensor(-2.0), alike.same, max_cells=2**15)
    assert kept.cells <= max(2**15, 64 * num_pairs)


def test_a_pair_of_one_title_pulls_nothing_apart():
    z = unit(2, 8, 0).requires_grad_()
    text = unit(2, 8, 1)

    def grad(rows: slice, same: torch.Tensor) -> torch.Tensor:
        loss = sigmoid_loss(z[rows], text[rows], torch.tensor(2.3), torch.tensor(-2.0), same.__getitem__)
        return torch.autograd.grad(loss, z)[0]

    pushed, left = grad(slice(0, 2), torch.zeros(2, 2, dtype=torch.bool)), grad(slice(0, 2), torch.ones(2, 2, dtype=torch.bool))
    alone_each = [grad(slice(i, i + 1), torch.ones(1, 1, dtype=torch.bool)) for i in (0, 1)]
    torch.testing.assert_close(left, sum(alone_each) / 2)
    assert not torch.allclose(pushed, left)


def test_alike_is_title_product_or_near_duplicate():
    phash = np.array([0, 0b111, 2**64 - 1, 2**63, 0xF0F0], np.uint64)
    alike = Alike.of(["Mug", "mug", "shoe", "hat", "hat "], [None, None, "p", "p", None], phash, max_distance=1)
    expected = torch.eye(5, dtype=torch.bool)
    for a, b in ((0, 1), (2, 3), (0, 3)):  # a title but for case; a product; one bit apart
        expected[a, b] = expected[b, a] = True
    assert torch.equal(alike.same(slice(0, 5)), expected)
    assert torch.equal(alike.same(slice(3, 5)), expected[3:5])
    assert torch.equal(alike.of_rows(torch.tensor([3, 0, 2]), torch.device("cpu")).same(slice(None)), expected[[3, 0, 2]][:, [3, 0, 2]])


@given(
    phashes=st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1]), min_size=1, max_size=6),
    distance=st.integers(0, 64),
)
def test_near_is_a_hamming_distance_of_at_most_the_limit(phashes, distance):
    alike = Alike.of([str(i) for i in range(len(phashes))], [None] * len(phashes), np.array(phashes, np.uint64), distance)
    assert alike.same(slice(None)).tolist() == [[(a ^ b).bit_count() <= distance for b in phashes] for a in phashes]


def test_the_tokenizer_gives_back_scripts_it_never_saw_and_pads_with_the_end():
    tokenizer = train_tokenizer(["red mug", "blue mug"], 300)
    ids = tokenise(tokenizer, ["赤い靴 🧦", "ＭＵＧ"], 32)
    assert ids.shape == (2, 32)
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == "赤い靴 🧦"
    assert tokenizer.decode(ids[1], skip_special_tokens=True).strip() == "mug"
    assert ids[1, -1] == tokenizer.eos_token_id


def test_views_keep_shape_and_range_and_follow_from_the_seed():
    cfg = bind(AugmentConfig, "augment", params()["train"])
    pixels = torch.rand(3, 3, 32, 32) * 2 - 1
    first, again, other = (augment(pixels, draw_views(3, cfg, torch.Generator().manual_seed(s))) for s in (1, 1, 2))
    assert first.shape == pixels.shape
    assert first.abs().max() <= 1
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


def test_a_start_from_scratch_has_siglips_temperature_and_a_stem():
    model, tokenizer = start_model("scratch", scratch(), TITLES, seed=0)
    assert float(model.logit_scale.detach().exp()) == pytest.approx(10)
    assert float(model.logit_bias.detach()) == -10
    assert model.image_px == 32
    assert image_vectors(model.eval(), torch.zeros(2, 3, 32, 32)).shape == (2, 32)
    again, _ = start_model("scratch", scratch(), TITLES, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert len(tokenizer) <= scratch().vocab_size


def test_a_saved_encoder_comes_back_with_its_stem(tmp_path):
    model, _ = start_model("scratch", scratch(), TITLES, seed=0)
    model.save_pretrained(tmp_path)
    back = load_encoder(tmp_path)
    pixels = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(image_vectors(model.eval(), pixels), image_vectors(back, pixels))
    assert [p.name for p in tmp_path.iterdir() if p.suffix in (".bin", ".pt", ".pkl")] == []


def test_a_plain_pretrained_checkpoint_keeps_its_patch_embedding(tmp_path):
    from transformers import SiglipConfig, SiglipModel

    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config=small | {"vocab_size": 50, "projection_size": 16}, vision_config=small | {"image_size": 32, "patch_size": 16}
    )
    plain = SiglipModel(config).eval()
    plain.save_pretrained(tmp_path)
    pixels = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(image_vectors(plain, pixels), image_vectors(load_encoder(tmp_path), pixels))


def test_a_start_that_is_nowhere_is_a_bad_knob(tmp_path):
    with pytest.raises(BadParams, match="no SigLIP checkpoint"):
        start_model(str(tmp_path / "nothing"), scratch(), TITLES, seed=0)


class StopError(Exception):
    pass


@pytest.mark.parametrize("saves_before_the_kill", [1, 2, 4, 5])
def test_a_killed_run_that_goes_on_ends_with_the_same_weights(tmp_path, saves_before_the_kill):
    torch.set_num_threads(2)
    cfg = train_config(epochs=3)
    values = iter([0.1, 0.3, 0.2] * 9)
    model, data = lesson()
    whole = train(model, data, cfg, validate=lambda _: next(values), checkpoints=Checkpoints(FolderStore(tmp_path / "a"), "k"))
    assert (whole.step, whole.best_epoch, len(whole.curve)) == (6, 2, 3)

    @dataclasses.dataclass(frozen=True)
    class Dying(Checkpoints):
        saves: list = dataclasses.field(default_factory=list)

        def save(self, model, optimizer, progress):
            super().save(model, optimizer, progress)
            self.saves.append(progress.step)
            if len(self.saves) == saves_before_the_kill:
                raise StopError

    store, by_epoch = FolderStore(tmp_path / "b"), {1: 0.1, 2: 0.3, 3: 0.2}
    epochs_seen: list[int] = []

    def validate(_):
        epochs_seen.append(len(epochs_seen) + 1)
        return by_epoch[epochs_seen[-1]]

    resumed, data = lesson()
    with pytest.raises(StopError):
        train(resumed, data, cfg, validate=validate, checkpoints=Dying(store, "k"))
    resumed, data = lesson()
    progress = train(resumed, data, cfg, validate=validate, checkpoints=Checkpoints(store, "k"))
    assert epochs_seen == [1, 2, 3]
    assert progress.curve == whole.curve
    assert weights(resumed) == weights(model)


def test_a_finished_run_that_is_started_again_learns_nothing_more(tmp_path):
    checkpoints = Checkpoints(FolderStore(tmp_path), "k")
    model, data = lesson()
    train(model, data, train_config(epochs=1), validate=lambda _: None, checkpoints=checkpoints)
    again, data = lesson()
    train(again, data, train_config(epochs=1), validate=lambda _: pytest.fail("nothing is left to validate"), checkpoints=checkpoints)
    assert weights(again) == weights(model)


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path):
    values = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    model, data = lesson()
    progress = train(
        model,
        data,
        train_config(epochs=5, patience_epochs=2),
        validate=lambda _: next(values),
        checkpoints=Checkpoints(FolderStore(tmp_path), "k"),
    )
    assert (len(progress.curve), progress.best_epoch, progress.best_value) == (3, 1, 0.5)


def test_fewer_photos_than_a_batch_still_train(tmp_path):
    model, data = lesson(num=3)
    before = weights(model)
    train(model, data, train_config(epochs=1), validate=lambda _: None, checkpoints=Checkpoints(FolderStore(tmp_path), "k"))
    assert weights(model) != before


def test_few_photos_are_passed_over_several_times_an_epoch_each_time_in_another_order():
    _, data = lesson(num=4)
    batches = Batches(data, train_config(epochs=1, min_steps_an_epoch=3), 32, alone())
    found = list(batches.following(0))
    assert len(found) == batches.steps_an_epoch == 3
    seen = [sorted(map(tuple, batch.tokens_bT.tolist())) for batch in found]
    assert seen[0] == seen[1] == seen[2]
    assert len({str(batch.tokens_bT.tolist()) for batch in found}) > 1


@pytest.mark.parametrize("size", [2, 4])
def test_the_ranks_shares_of_a_batch_are_the_batch_of_one_process(size):
    _, data = lesson()
    [whole] = Batches(data, train_config(epochs=1, min_steps_an_epoch=1, batch_size=8), 32, alone()).following(0)
    shares = []
    for rank in range(size):
        world = World(rank, size, torch.device("cpu"))
        shares += Batches(data, train_config(epochs=1, min_steps_an_epoch=1, batch_size=8), 32, world).following(0)
    assert torch.equal(torch.cat([s.pixels_bCHW for s in shares]), whole.pixels_bCHW)
    assert torch.equal(torch.cat([s.tokens_bT for s in shares]), whole.tokens_bT)
    assert [s.first for s in shares] == list(range(0, 8, 8 // size))
    for share in shares:
        own = slice(share.first, share.first + len(share.pixels_bCHW))
        assert torch.equal(share.alike.same(own), whole.alike.same(slice(None))[own])


def test_a_batch_that_processes_cannot_share_equally_is_a_bad_knob():
    _, data = lesson(num=3)
    with pytest.raises(BadParams, match=r"2 processes cannot share batches of 3 pairs equally.*batch_size"):
        Batches(data, train_config(), 32, World(0, 2, torch.device("cpu")))


def test_a_precision_that_the_device_lacks_is_a_bad_knob(tmp_path):
    model, data = lesson()
    with pytest.raises(BadParams, match=r"finetune.train.precision = 'fp16' on cpu: "):
        train(model, data, train_config(precision="fp16"), validate=lambda _: None, checkpoints=Checkpoints(FolderStore(tmp_path), "k"))


def test_a_checkpoint_is_safetensors_and_brings_back_the_optimizer():
    model, _ = lesson()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    image_vectors(model, torch.rand(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    data = pack(model, optimizer, Progress(step=7, curve=[{"epoch": 1, "train_loss": 2.5}], best={"logit_bias": torch.tensor([1.5])}))
    other, _ = lesson()
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1)
    progress = unpack(data, other, fresh)
    assert (progress.step, progress.curve) == (7, [{"epoch": 1, "train_loss": 2.5}])
    assert progress.best["logit_bias"] == 1.5
    assert weights(other) == weights(model)
    kept, back = optimizer.state_dict()["state"], fresh.state_dict()["state"]
    assert kept.keys() == back.keys()
    assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(back[i][k])) for i, state in kept.items() for k, v in state.items())
