import logging
import shutil

import pytest

from components.manifest import MANIFEST, write_manifest
from components.release.channel import declared_stable, first, proposed, withdrawn
from components.release.registry import Registry
from components.serve.inference.repository import Layout, held
from flows.triton_follow import GONE, REPOSITORY, Follower, follow, wanted
from tests.conftest import PROJECT, edit_params
from tests.release.small_release import AT, publish
from tests.serve.small_towers import write_towers

LAYOUT = Layout("onnxruntime", max_rows=8, max_wait_ms=2.0, max_queued=64, instances=1, threads=0)


@pytest.fixture
def registry(tmp_path):
    return Registry.open(str(tmp_path / "registry"))


@pytest.fixture
def clock():
    return {"s": 0.0}


@pytest.fixture
def follower(tmp_path, registry, clock):
    return Follower(tmp_path / "models", registry, LAYOUT, num_previous=1, linger_s=60, now=lambda: clock["s"])


def released(registry, folder, seed):
    towers = write_towers(folder / str(seed), seed=seed)
    (towers / MANIFEST).unlink()
    write_manifest(towers, {"promote": True, "reasons": []})
    return publish(registry, towers)


def there(follower):
    return {release_id: len(models) for release_id, models in held(follower.folder / REPOSITORY).items()}


def test_a_server_starts_once_the_stable_release_is_there_and_not_before(follower, registry, tmp_path):
    assert not follower.look()
    one = released(registry, tmp_path, 1)
    assert not follower.look(), "published is not stable"
    registry.change(lambda channel: first(channel, one))
    assert follower.look()
    assert there(follower) == {one: 2}
    assert not list((follower.folder / ".fetched").iterdir()), "its graphs are in the repository, the rest is of no use here"


def test_a_candidate_comes_and_leaves_once_no_gateway_can_be_behind(follower, registry, tmp_path, clock):
    one, two = released(registry, tmp_path, 1), released(registry, tmp_path, 2)
    registry.change(lambda channel: first(channel, one))
    registry.change(lambda channel: proposed(channel, two, AT, 0.2, "try it"))
    assert follower.look()
    assert there(follower) == {one: 2, two: 2}
    registry.change(withdrawn)
    clock["s"] = 59
    follower.look()
    assert there(follower) == {one: 2, two: 2}
    clock["s"] = 130
    follower.look()
    assert there(follower) == {one: 2}
    assert not list(follower.folder.glob(f"{GONE}*"))


def test_without_any_patience_what_is_wanted_stays_all_the_same(registry, tmp_path):
    one = released(registry, tmp_path, 1)
    registry.change(lambda channel: first(channel, one))
    follower = Follower(tmp_path / "models", registry, LAYOUT, num_previous=1, linger_s=0)
    assert follower.look()
    assert follower.look()


def test_a_release_to_go_back_to_stays(registry, tmp_path):
    one, two, three = (released(registry, tmp_path, seed) for seed in (1, 2, 3))
    registry.change(lambda channel: first(channel, one))
    for release_id in (two, three):
        registry.change(lambda channel, release_id=release_id: proposed(channel, release_id, AT, 0.2, "try it"))
        registry.change(declared_stable)
    channel, _ = registry.channel()
    assert wanted(channel, 1) == [three, two]
    assert wanted(channel, 2) == [three, two, one]


def test_a_candidate_that_was_altered_is_told_once_and_costs_the_stable_one_nothing(follower, registry, tmp_path, caplog):
    one, two = released(registry, tmp_path, 1), released(registry, tmp_path, 2)
    registry.change(lambda channel: first(channel, one))
    registry.change(lambda channel: proposed(channel, two, AT, 0.2, "try it"))
    (tmp_path / "registry" / "releases" / two / "image.onnx").write_bytes(b"other")
    with caplog.at_level(logging.WARNING):
        assert follower.look()
        assert follower.look()
    assert there(follower) == {one: 2}
    assert len([record for record in caplog.records if two[:12] in record.getMessage()]) == 1


def test_a_registry_that_is_gone_leaves_the_repository_as_it_is(follower, registry, tmp_path):
    one = released(registry, tmp_path, 1)
    registry.change(lambda channel: first(channel, one))
    assert follower.look()
    (tmp_path / "registry" / "channel.json").write_text("damaged")
    assert not follower.look()
    assert there(follower) == {one: 2}
    assert follower.refused


def test_the_command_ends_once_the_models_of_the_stable_release_are_there(tmp_path, monkeypatch):
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    edit_params(tmp_path, {"release": {"registry": str(tmp_path / "registry")}})
    registry = Registry.open(str(tmp_path / "registry"))
    one = released(registry, tmp_path, 1)
    registry.change(lambda channel: first(channel, one))
    monkeypatch.chdir(tmp_path)
    follow(tmp_path / "models", "python", 1, once=True)
    assert set(held(tmp_path / "models" / REPOSITORY)) == {one}
