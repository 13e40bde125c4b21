"""`vitrine serve` as people and clusters start and end it: alone on its state, drained on SIGTERM, whole again after SIGKILL."""

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import polars as pl
import pytest

from tests.conftest import environment
from tests.serve.gateway import command, free_port, metric
from tests.serve.test_gateway import in_base64, listing, photo


@pytest.fixture
def workspace(finished, tmp_path):
    """A copy of the finished workspace, so that no test finds another's state."""
    shutil.copytree(finished, tmp_path / "shop", symlinks=True, ignore=shutil.ignore_patterns(".git", ".vitrine", "runs"))
    return tmp_path / "shop"


def serve(workspace: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command where it must end of itself."""
    port = str(free_port())
    return subprocess.run(
        ["vitrine", "serve", "--port", port, *options], cwd=workspace, env=environment(), text=True, capture_output=True, timeout=60
    )


def events(workspace: Path, table: str) -> pl.DataFrame:
    """Every row of a table of the log; files of a first catalogue have fewer columns."""
    files = (workspace / f".vitrine/serve/store/events/{table}").rglob("*.parquet")
    return pl.concat([pl.read_parquet(file) for file in files], how="diagonal")


def test_it_serves_a_copy_and_nothing_of_the_workspace_changes_under_it(workspace):
    with command(workspace) as (_, client):
        release_id = client.get("/health/ready").json()["release_id"]
        assert (workspace / "releases" / release_id / "manifest.json").exists()
        shutil.rmtree(workspace / "bundle")
        shutil.rmtree(workspace / "data/images")
        assert client.get("/v1/similar", params={"text": "mug"}).json()["items"]
        item = client.get("/v1/items", params={"limit": 1}).json()["items"][0]
        assert client.get(item["picture"]).status_code == 200


def test_a_second_gateway_on_the_same_state_is_refused(workspace):
    with command(workspace) as (first, _):
        second = serve(workspace)
        assert second.returncode == 1
        assert "already running" in second.stderr
        assert str(first.pid) in second.stderr


def test_more_replicas_than_one_need_postgres(workspace):
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("replicas: 1", "replicas: 2"))
    refused = serve(workspace)
    assert refused.returncode == 1
    assert "postgres" in refused.stderr


def test_another_address_than_loopback_needs_keys(workspace):
    refused = serve(workspace, "--host", "0.0.0.0")
    assert refused.returncode == 1
    assert "vitrine key" in refused.stderr


def test_without_a_bundle_it_says_how_to_make_one(workspace):
    shutil.rmtree(workspace / "bundle")
    refused = serve(workspace)
    assert refused.returncode == 1
    assert "make demo" in refused.stderr


def test_on_sigterm_what_is_being_answered_is_answered(workspace):
    with command(workspace) as (process, client):
        url, statuses = str(client.base_url), []

        photos = [in_base64(photo(5000 + number, side=1600)) for number in range(128)]
        bodies = [{"inputs": [{"picture_base64": data} for data in photos[start : start + 32]]} for start in range(0, 128, 32)]

        def ask(body) -> None:
            statuses.append(httpx.post(f"{url}/v1/embed", json=body, timeout=60).status_code)

        threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
        idle = metric(client, "vitrine_in_flight")
        for thread in threads:
            thread.start()
        while metric(client, "vitrine_in_flight") < idle + len(bodies) and not statuses:
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        assert len(statuses) < len(bodies), "the pictures were answered before the signal: send larger ones"
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 4
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_what_was_acknowledged_survives_a_kill(workspace):
    """Upserts are found by id and by their photo, events lie in parquet once, and no worker process is left."""
    acked_items, acked_events = [], []
    with command(workspace) as (process, client):
        url = str(client.base_url)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()

        def write(worker: int) -> None:
            with httpx.Client(base_url=url, timeout=30) as own:
                for number in range(10_000):
                    name, seed = f"k-{worker}-{number}", worker * 10_000 + number
                    event = {"event_id": name, "type": "click", "request_id": "r", "item_id": name}
                    try:
                        own.put(f"/v1/items/{name}", json=listing(picture_base64=in_base64(photo(seed)))).raise_for_status()
                        acked_items.append((name, seed))
                        own.post("/v1/events", json={"events": [event]}).raise_for_status()
                        acked_events.append(name)
                    except httpx.TransportError:
                        return

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
        for thread in threads:
            thread.start()
        while len(acked_events) < 40:
            time.sleep(0.01)
        process.kill()
        for thread in threads:
            thread.join(30)
    assert_gone(children)
    with command(workspace) as (_, client):
        for name, _ in acked_items:
            assert client.get(f"/v1/items/{name}").status_code == 200, name
        for name, seed in acked_items[-5:]:
            best = client.post("/v1/similar", json={"picture_base64": in_base64(photo(seed)), "k": 1}).json()["items"][0]
            assert best["item_id"] == name
    clicks = events(workspace, "clicks")
    assert sorted(set(acked_events) - set(clicks["event_id"])) == []
    assert clicks["event_id"].is_unique().all()
    assert {name for name, _ in acked_items} <= set(events(workspace, "listings")["item_id"])


def assert_gone(pids: list[str], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while (left := [pid for pid in pids if os.path.exists(f"/proc/{pid}")]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
