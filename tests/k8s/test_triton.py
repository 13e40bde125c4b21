"""A real Triton server, told what the rendered container tells it, over a repository that follows the channel record."""

import time

import pytest
from tritonclient.grpc import InferenceServerClient

from components.manifest import MANIFEST, write_manifest
from components.release.channel import first, proposed, withdrawn
from components.release.registry import Registry
from components.serve.inference.repository import Layout, models_of
from components.towers import Serving
from flows.triton_follow import REPOSITORY, Follower
from tests.k8s.workloads import Workload, named
from tests.release.small_release import AT, publish
from tests.serve.small_towers import write_towers
from tests.serve.triton_server import serving

LAYOUT = Layout("python", max_rows=8, max_wait_ms=2.0, max_queued=64, instances=1, threads=1)
LIMIT_S = 120.0
HOW = ("--model-control-mode", "--repository-poll-secs", "--strict-readiness")


def options(documents):
    """The words of the rendered command that say how models come and go."""
    command = Workload(named(documents("production"), "Deployment", "triton")).spec["containers"][0]["command"]
    found = [word for word in command if word.partition("=")[0] in HOW]
    assert len(found) == len(HOW)
    return found


def names(bundle, release_id):
    return [model.name for model in models_of(release_id, Serving.read(bundle))]


def until(holds):
    end_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end_s, "it did not come to be"
        time.sleep(0.1)


@pytest.fixture
def releases(tmp_path):
    """A registry, and two releases in it with the folders that they were published from."""
    registry, found = Registry.open(str(tmp_path / "registry")), []
    for seed in (1, 2):
        bundle = write_towers(tmp_path / str(seed), seed=seed)
        (bundle / MANIFEST).unlink()
        write_manifest(bundle, {"promote": True, "reasons": []})
        found.append((publish(registry, bundle), bundle))
    return registry, found


def test_a_candidates_models_come_while_the_server_runs_and_go_with_it(documents, releases, tmp_path):
    registry, ((stable, of_stable), (candidate, of_candidate)) = releases
    registry.change(lambda channel: first(channel, stable))
    follower = Follower(tmp_path / "models", registry, LAYOUT, num_previous=1, linger_s=0)
    assert follower.look()
    with serving(tmp_path / "models" / REPOSITORY, tmp_path, options(documents)) as server, InferenceServerClient(server.url) as client:
        assert all(map(client.is_model_ready, names(of_stable, stable))), "it listens once what is there was loaded"
        registry.change(lambda channel: proposed(channel, candidate, AT, 0.2, "try it"))
        follower.look()
        until(lambda: all(map(client.is_model_ready, names(of_candidate, candidate))))
        assert all(map(client.is_model_ready, names(of_stable, stable)))
        registry.change(withdrawn)
        until(lambda: follower.look() and not any(map(client.is_model_ready, names(of_candidate, candidate))))
        assert all(map(client.is_model_ready, names(of_stable, stable)))
        assert client.is_server_ready()
