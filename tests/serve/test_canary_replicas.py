"""A canary over several gateways, and over gateways that are killed."""

import contextlib
import random
import shutil
import threading
import uuid
from pathlib import Path

import httpx
import polars as pl
import pytest

from components.release.channel import arm_of, promoted
from tests.conftest import edit_params
from tests.serve.canary_shop import FAST, Place, answers_in, fast, headers, heeds, twin, until
from tests.serve.gateway import command, running
from tests.serve.postgres_server import database

USERS = [f"user-{number}" for number in range(40)]


def releases_of(client: httpx.Client, users=USERS) -> dict[str, str]:
    """Whose answer each user gets."""
    asked = {user: client.get("/v1/similar", params={"text": "mug"}, headers=headers(user)) for user in users}
    assert {answer.status_code for answer in asked.values()} == {200}
    return {user: answer.json()["release_id"] for user, answer in asked.items()}


def wanted(place: Place, users=USERS) -> dict[str, str]:
    """Whose answer each user should get by the record."""
    record = place.record
    return {user: record.candidate.release_id if arm_of(record, "web", user) == "canary" else record.stable for user in users}


@pytest.fixture
def replicas(finished, tmp_path, postgres, monkeypatch):
    """Two gateways over one index, one store and one registry; the workspace, the place, the two releases, and the gateways."""
    monkeypatch.setenv("VITRINE_USER_SALT", "a salt that they share")
    place = Place(tmp_path / "registry")
    stable, candidate = (place.publish(twin(finished / "bundle", tmp_path / name, name)) for name in ("stable", "other"))
    place.begin(stable)
    changes = fast({"index": {"backend": "postgres", "replicas": 2}}) | {"store": str(tmp_path / "store")}
    with database(postgres, monkeypatch, uuid.uuid4().hex), contextlib.ExitStack() as stack:
        gateways = [stack.enter_context(running(finished, tmp_path / name, changes, registry=place.folder)) for name in ("one", "two")]
        yield place, stable, candidate, gateways


def test_what_the_record_says_reaches_every_replica_within_seconds(replicas, tmp_path):
    place, stable, candidate, gateways = replicas
    place.propose(candidate)
    for weight in (25, 50, 100):
        place.climb(weight)
        for gateway in gateways:
            heeds(gateway.client, place)
            assert releases_of(gateway.client) == wanted(place)
    place.change(promoted)
    for gateway in gateways:
        assert releases_of(gateway.client) == dict.fromkeys(USERS, candidate)  # by either record: nobody leaves
        heeds(gateway.client, place)
        until(lambda: gateway.gateway.router.active == candidate)  # noqa: B023  # called at once
    done = gateways[1].client.post("/v1/channel/rollback", json={"reason": "test"}).json()
    assert (done["release_id"], done["stable"], done["written"]) == (candidate, stable, True)
    for gateway in gateways:
        heeds(gateway.client, place)
        assert releases_of(gateway.client) == dict.fromkeys(USERS, stable)
        until(lambda: gateway.gateway.router.active == stable)  # noqa: B023
    until(lambda: len(answers_in(tmp_path / "store")) >= 2 * 3 * len(USERS))
    assert answers_in(tmp_path / "store")["user_id"].n_unique() == len(USERS)


def test_a_replica_that_cannot_read_the_record_keeps_to_it_while_the_others_go_on(replicas, monkeypatch):
    place, _, candidate, (one, two) = replicas
    place.propose(candidate)
    place.climb(50)
    for gateway in (one, two):
        heeds(gateway.client, place)
    before = wanted(place)

    def broken():
        raise OSError("the network is down")

    monkeypatch.setattr(type(two.gateway.canary.following.edge()), "channel", lambda edge: broken())
    until(lambda: two.client.get("/v1/channel").json()["problem"])
    assert releases_of(two.client) == before
    monkeypatch.undo()
    until(lambda: two.client.get("/v1/channel").json()["problem"] is None)


@pytest.fixture
def shop(finished, tmp_path) -> Path:
    """A workspace whose registry has a stable release and a candidate, for `vitrine serve`."""
    workspace = tmp_path / "shop"
    shutil.copytree(finished, workspace, symlinks=True, ignore=shutil.ignore_patterns(".git", ".vitrine", "runs"))
    edit_params(workspace, {"serve": FAST})
    place = Place(workspace / ".vitrine/registry")
    stable, candidate = (place.publish(twin(finished / "bundle", tmp_path / name, name)) for name in ("stable", "other"))
    place.begin(stable, candidate)
    shutil.rmtree(workspace / "bundle")  # the registry has all that it takes
    return workspace


def test_a_gateway_that_is_killed_in_a_climb_comes_back_with_the_same_arms_and_every_acknowledged_event(shop):
    place, rng, taken = Place(shop / ".vitrine/registry"), random.Random(1), []
    canary: set[str] = set()
    for weight in (5, 25, 50):
        with command(shop) as (process, client):
            if weight > 5:
                assert releases_of(client) == wanted(place)  # at once: it was not ready before the candidate stood again
            heeds(client, place)
            place.climb(weight)
            heeds(client, place)
            users = {user for user, release in releases_of(client).items() if release == place.record.candidate.release_id}
            assert canary <= users
            canary = users
            timer = threading.Timer(rng.uniform(0.1, 0.6), process.kill)
            timer.start()
            with contextlib.suppress(httpx.TransportError):
                while True:
                    name = f"c-{weight}-{len(taken)}"
                    event = {"type": "click", "event_id": name, "request_id": "r", "item_id": "i", "user_id": "u", "platform": "web"}
                    answer = client.post("/v1/events", json={"events": [event]})
                    assert answer.json()["accepted"] == 1, answer.text
                    taken.append(name)
            timer.join()
    with command(shop) as (process, client):
        assert releases_of(client) == wanted(place)
    kept = pl.concat([pl.read_parquet(path) for path in (shop / ".vitrine/serve/store/events/clicks").rglob("*.parquet")])
    assert kept["event_id"].n_unique() == len(kept)
    assert set(taken) <= set(kept["event_id"])
    assert taken


def test_a_gateway_that_starts_again_gives_no_user_of_the_canary_the_stable_release(finished, tmp_path):
    """Whoever asks before it is ready is told to come back."""
    place, statuses = Place(tmp_path / "registry"), set()
    stable, candidate = (place.publish(twin(finished / "bundle", tmp_path / name, name)) for name in ("stable", "other"))
    place.begin(stable, candidate, weight=100)
    with running(finished, tmp_path / "state", fast(), registry=place.folder) as live:
        heeds(live.client, place)
    with running(finished, tmp_path / "state", fast(), registry=place.folder, ready=False) as live:

        def is_ready() -> bool:
            was_ready = live.client.get("/health/ready").status_code == 200
            with contextlib.suppress(httpx.TransportError):
                answer = live.client.get("/v1/similar", params={"text": "mug"}, headers=headers(USERS[0]))
                statuses.add(answer.status_code)
                assert answer.status_code == 503 or answer.json()["release_id"] == candidate
            return was_ready

        until(is_ready)
    assert 200 in statuses
