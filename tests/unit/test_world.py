"""Several processes on loopback against one: what they learn, and what becomes of them when one is lost."""

import os
import signal
import socket
import time

import numpy as np
import pytest
import torch

from components.errors import BadEnvironment, RankLost
from components.finetune.batches import TrainSet
from components.finetune.component import _check_equal
from components.finetune.place import Place
from components.finetune.train import train
from components.finetune.world import World, alone, joined
from tests.lessons import assert_within_half_a_step, lesson, train_config
from tests.ranks import checkpoints_of, finished, free_port, keep, kept, ranks, said

NUM_PHOTOS = 24
STEPS = {"batch_size": 8, "epochs": 3, "min_steps_an_epoch": 3, "checkpoint_every_steps": 2}


def tangled(num: int = NUM_PHOTOS) -> TrainSet:
    """A lesson in which every batch holds pairs of one title, of one product and of near-duplicate photos."""
    _, data = lesson(num)
    products = [f"p{i % 7}" if i % 3 else None for i in range(num)]
    phashes = np.array([(i % 5) << 40 | 1 << (i % 4) for i in range(num)], np.uint64)
    return TrainSet(data.photos, data.titles, data.tokens, products, phashes)


def learn(world, folder, cfg, exact=False, values=None):
    """Trains and keeps weights and curve. `exact` in double precision; `values` are what this rank's validation says."""
    torch.set_num_threads(1)
    model, _ = lesson()
    if exact:
        model.double()
    found = iter(values or [])
    progress = train(
        model,
        tangled(),
        train_config(**cfg),
        validate=lambda _: next(found, None),
        checkpoints=checkpoints_of(world, folder),
        world=world,
    )
    keep(folder, model, curve=progress.curve, best_epoch=progress.best_epoch, step=progress.step)


def learn_alone(folder, cfg, **options):
    (folder / "0").mkdir(parents=True, exist_ok=True)
    learn(alone(), folder / "0", cfg, **options)


def learn_together(folder, size, cfg, **options):
    with ranks(learn, folder, size, cfg, *options.values()) as processes:
        codes = finished(processes)
    assert codes == [0] * size, "\n".join(said(folder, rank) for rank in range(size))


@pytest.mark.parametrize(("size", "freeze_text"), [(2, False), (4, True)])
def test_several_processes_end_with_the_weights_of_one(tmp_path, size, freeze_text):
    """In double precision, where Adam does not turn noise into steps: the loss alone is in single, which leaves 1e-6."""
    cfg = STEPS | {"freeze_text": freeze_text}
    learn_alone(tmp_path / "one", cfg, exact=True)
    learn_together(tmp_path / "all", size, cfg, exact=True)
    (one, alone_said), (first, first_said), (last, _) = kept(tmp_path / "one"), kept(tmp_path / "all"), kept(tmp_path / "all", size - 1)
    assert set(one) == set(first)
    for name, value in one.items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-6, msg=name)
        assert torch.equal(first[name], last[name]), name
    for here, there in zip(alone_said["curve"], first_said["curve"], strict=True):
        assert there["train_loss"] == pytest.approx(here["train_loss"], rel=1e-6)


def test_in_single_precision_they_end_within_half_a_step(tmp_path):
    learn_alone(tmp_path / "one", STEPS)
    learn_together(tmp_path / "two", 2, STEPS)
    (one, _), (two, _) = kept(tmp_path / "one"), kept(tmp_path / "two")
    assert_within_half_a_step(two, one)


def test_rank_0_alone_writes_checkpoints_and_another_number_of_processes_goes_on_from_them(tmp_path):
    """Two, then one, then four, each for an epoch, as against one process for all three; rank 0 reads for everybody."""
    learn_alone(tmp_path / "one", STEPS, exact=True)
    for size, values in ((2, [0.1]), (1, [0.2]), (4, [0.3])):
        folder = tmp_path / "many"
        stopping = STEPS | {"patience_epochs": 9}
        with ranks(learn_one_epoch, folder, size, stopping, values) as processes:
            assert finished(processes) == [0] * size, "\n".join(said(folder, rank) for rank in range(size))
        assert [path.name for path in folder.glob("*/cache/k")] == ["k"]
        assert (folder / "0" / "cache" / "k").exists()
    (one, _), (many, facts) = kept(tmp_path / "one"), kept(tmp_path / "many")
    assert facts["step"] == 9
    assert [row["val_ndcg_at_5"] for row in facts["curve"]] == [0.1, 0.2, 0.3]
    for name, value in one.items():
        torch.testing.assert_close(many[name], value, rtol=0, atol=1e-6, msg=name)


class EndOfEpochError(Exception):
    pass


def learn_one_epoch(world, folder, cfg, values):
    """As learn(), ended by its second validation as by a kill."""
    torch.set_num_threads(1)
    model, _ = lesson()
    model.double()
    found = iter(values)

    def validate(_):
        if (value := next(found, None)) is None:
            raise EndOfEpochError
        return value

    try:
        progress = train(model, tangled(), train_config(**cfg), validate=validate, checkpoints=checkpoints_of(world, folder), world=world)
    except EndOfEpochError:
        return
    keep(folder, model, curve=progress.curve, step=progress.step)


def disagree(world, folder, cfg):
    """Rank 0 sees its first epoch as the best, the others their last."""
    learn(world, folder, cfg, False, [0.5, 0.4, 0.3] if world.is_first else [0.1, 0.2, 0.9])


def test_rank_0_decides_which_epoch_was_the_best_and_when_to_stop(tmp_path):
    with ranks(disagree, tmp_path, 2, STEPS | {"patience_epochs": 1}) as processes:
        assert finished(processes) == [0, 0], said(tmp_path, 1)
    (first, told), (other, heard) = kept(tmp_path), kept(tmp_path, 1)
    assert told == heard
    assert (told["best_epoch"], len(told["curve"])) == (1, 2)
    assert all(torch.equal(first[name], other[name]) for name in first)
    assert "epoch 2/3" in said(tmp_path, 0)
    assert said(tmp_path, 1) == "", "rank 0 alone logs"


@pytest.fixture(autouse=True)
def _own_environment():
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def awaited(path, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_a_killed_process_ends_the_others_and_a_restart_goes_on_from_the_checkpoint(tmp_path):
    long = STEPS | {"epochs": 400}
    with ranks(learn, tmp_path / "two", 2, long) as processes:
        awaited(tmp_path / "two" / "0" / "cache" / "k")
        os.kill(processes[1].pid, signal.SIGKILL)
        assert finished(processes, limit_s=60) == [1, -signal.SIGKILL]
    assert "RankLost: rank 0: another of the 2 processes is gone" in said(tmp_path / "two", 0)
    assert "they go on from the last checkpoint" in said(tmp_path / "two", 0)
    with ranks(learn, tmp_path / "two", 2, long) as processes:
        deadline = time.monotonic() + 60
        while "going on at step" not in said(tmp_path / "two", 0):
            assert time.monotonic() < deadline, said(tmp_path / "two", 0)
            time.sleep(0.05)


def test_a_process_that_hangs_is_lost_once_the_time_is_up(tmp_path):
    with ranks(learn, tmp_path, 2, STEPS | {"epochs": 400}, patience_s=3) as processes:
        awaited(tmp_path / "0" / "cache" / "k")
        os.kill(processes[0].pid, signal.SIGSTOP)
        assert finished(processes[1:], limit_s=60) == [1]
    assert "RankLost: rank 1: another of the 2 processes is gone, or was silent for 3 s (finetune.train.rank_timeout_s)" in said(
        tmp_path, 1
    )


def on_other_data(world, folder):
    _check_equal(f"data of rank {world.rank}", world)


def test_a_rank_with_other_data_than_rank_0_is_told_so(tmp_path):
    with ranks(on_other_data, tmp_path, 2) as processes:
        assert finished(processes)[1] == 1
    assert "BadWorkspace: finetune: rank 1 has other data, params or code than rank 0" in said(tmp_path, 1)


def join(place, patience_s):
    with joined(place, patience_s, 1):
        pytest.fail("there is nobody to join")


def test_a_rank_0_that_never_comes_is_told_with_its_address():
    port = free_port()
    with pytest.raises(RankLost, match=rf"nobody listens at 127.0.0.1:{port} .* after 0.5 s"):
        join(Place(1, 2, 0, "127.0.0.1", port), 0.5)


def test_processes_that_never_come_are_told():
    with pytest.raises(RankLost, match="rank 0: another of the 2 processes is gone, or was silent for 1 s"):
        join(Place(0, 2, 0, "127.0.0.1", free_port()), 1)


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadEnvironment, match=rf"rank 0 cannot listen at port {port} \(MASTER_PORT\)"):
            join(Place(0, 2, 0, "127.0.0.1", port), 1)


def test_one_process_sends_nothing():
    world = World(0, 1, torch.device("cpu"))
    rows = torch.ones(3, 2)
    assert world.gathered(rows) is rows
    assert world.from_first(None) is None
    assert world.from_first(b"x") == b"x"
    assert (world.decided(None), world.decided(0.1 + 0.2)) == (None, 0.1 + 0.2)
